from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import auroc
from panderm.tasks.linear_probe import Features, Targets, fit
from panderm.training.finetune_recipe import LinearProbeRecipe


@pytest.fixture
def blobs() -> tuple[Features, Targets]:
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 40)
    features = rng.normal(size=(120, 8)) + 1.2 * rng.normal(size=(3, 8))[targets]
    return features.astype(np.float32), targets.astype(np.int64)


def test_fit__squared_penalty_agrees_with_scikit_learn(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    probe = fit(LinearProbeRecipe(penalty="paper"), features, targets, 3)
    strength = 8 * 3 / 100
    reference = LogisticRegression(C=1 / (strength * len(targets)), tol=1e-10, max_iter=5000).fit(features, targets)
    np.testing.assert_allclose(probe.weight, reference.coef_, atol=1e-3)


def plain(features: Features, targets: Targets, classes: int) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """The published objective minimised as published, in float64."""
    x, y = torch.from_numpy(features).double(), torch.from_numpy(targets)
    torch.manual_seed(0)
    head = torch.nn.Linear(x.shape[1], classes).double()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=1000, line_search_fn="strong_wolfe")
    values: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        norm = 0.5 * 100 / (x.shape[1] * classes) * head.weight.norm()
        value = torch.nn.functional.cross_entropy(head(x), y) + norm
        value.backward()
        values.append(float(value.detach()))
        return value

    optimizer.step(closure)
    return head.weight.detach(), head.bias.detach(), values


def spread(rows: int, width: int, classes: int, seed: int = 0, fall: float = 1.0) -> tuple[Features, Targets]:
    """Features as a network's: variances that fall like 1 / i^fall, class means within them, an offset."""
    rng = np.random.default_rng(seed)
    deviation = 4 / np.arange(1, width + 1) ** (fall / 2)
    targets = rng.integers(0, classes, size=rows)
    means = np.random.default_rng(9).normal(size=(classes, width)) * deviation * 3 / np.sqrt(width)
    features = rng.normal(size=(rows, width)) * deviation + means[targets] + 0.5
    return features.astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize(("rows", "width"), [(400, 60), (80, 200)], ids=["more rows", "more features"])
def test_fit__code_penalty_is_at_the_minimum_of_the_published_objective(rows: int, width: int) -> None:
    features, targets = spread(rows, width, 3)
    probe = fit(LinearProbeRecipe(), features, targets, 3)
    weight, bias, values = plain(features, targets, 3)
    assert probe.objective[-1] == pytest.approx(values[-1], abs=1e-5)
    unseen, truth = spread(2000, width, 3, seed=1)
    ours = probe.logits(unseen)
    theirs = unseen @ weight.float().numpy().T + bias.float().numpy()
    for index in range(3):
        assert auroc(truth == index, ours[:, index]) == pytest.approx(auroc(truth == index, theirs[:, index]), abs=1e-3)
    assert probe.penalty == f"{100 / (3 * width):.4g} * 0.5 * ||W||"


def test_fit__takes_a_fraction_of_the_plain_form_s_passes() -> None:
    features, targets = spread(600, 256, 3, fall=2.0)
    features *= 10  # features so large make the penalty small, as the published width does
    probe = fit(LinearProbeRecipe(), features, targets, 3)
    *_, values = plain(features, targets, 3)
    needed = next(number for number, value in enumerate(values, start=1) if value < probe.objective[-1] + 1e-5)
    assert 5 * len(probe.objective) < needed


def test_fit__the_seed_of_the_coordinates_does_not_move_the_minimum() -> None:
    features, targets = spread(3000, 64, 2)
    first, second = (fit(LinearProbeRecipe(seed=seed), features, targets, 2) for seed in (0, 1))
    assert first.objective[-1] == pytest.approx(second.objective[-1], abs=1e-5)


def test_fit__where_the_penalty_leaves_no_weight_the_scores_still_tell_apart(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    probe = fit(LinearProbeRecipe(), 0.2 * features, targets, 3)  # strong at this width: zero weights are the minimum
    assert np.linalg.norm(probe.weight) < 0.05
    assert auroc(targets == 0, probe.logits(features)[:, 0]) > 0.7


def test_fit__same_seed_same_bytes(blobs: tuple[Features, Targets]) -> None:
    first, second = (fit(LinearProbeRecipe(), *blobs, 3) for _ in range(2))
    assert first.weight.tobytes() == second.weight.tobytes()


def test_fit__standardisation_is_folded_into_the_head(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    stretched = features * np.array([1, 10, 100, 1000, 1, 1, 1, 0], dtype=np.float32) + 5
    recipe = LinearProbeRecipe(standardise=True)
    plain = fit(recipe, features * np.array([1] * 7 + [0], dtype=np.float32), targets, 3)
    moved = fit(recipe, stretched, targets, 3)
    np.testing.assert_allclose(moved.logits(stretched), plain.logits(features), atol=1e-2)


def test_fit__tuned_takes_the_strength_that_validation_likes(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    noise = np.random.default_rng(1).permutation(targets)
    assert "10 * 0.5" in fit(LinearProbeRecipe(penalty="tuned"), features, noise, 3, (features, targets)).penalty
    with pytest.raises(InputError, match="chooses on the validation split, which is empty"):
        fit(LinearProbeRecipe(penalty="tuned"), features, targets, 3, (features[:0], targets[:0]))


def test_fit__features_that_are_no_numbers_are_refused(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    features[[3, 7], 2] = np.nan
    with pytest.raises(InputError, match="2 of 120 feature rows hold NaN or infinity; the encoder is broken"):
        fit(LinearProbeRecipe(), features, targets, 3)
