from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from panderm.core.errors import InputError
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
    np.testing.assert_allclose(probe.weight, reference.coef_, atol=1e-4)


def test_fit__code_penalty_is_at_its_minimum(blobs: tuple[Features, Targets]) -> None:
    features, targets = blobs
    features = 8 * features  # at this width the penalty is strong: with weaker features zero weights would be the minimum
    probe = fit(LinearProbeRecipe(), features, targets, 3)
    assert np.linalg.norm(probe.weight) > 0.05
    weight = torch.tensor(probe.weight, dtype=torch.float64, requires_grad=True)
    logits = torch.tensor(features, dtype=torch.float64) @ weight.T + torch.tensor(probe.bias)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets)) + 100 / (8 * 3) * 0.5 * weight.norm()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert float(gradient.abs().max()) < 1e-4
    assert probe.penalty == "4.167 * 0.5 * ||W||"


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
