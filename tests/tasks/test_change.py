from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.evaluation.figures import Resampling, all_figures
from panderm.imaging.preprocessing import Preprocessing
from panderm.imaging.sequential import cache
from panderm.imaging.sequential.cache import Wanted, aligned_pairs
from panderm.imaging.sequential.pairs import pairs_of
from panderm.imaging.sequential.settings import AlignSettings
from panderm.models.siamese import contrastive
from panderm.tasks import change
from panderm.tasks.kinds import Given
from panderm.training.change import ChangeFit, Settings, train
from panderm.training.change_recipe import ChangeRecipe
from panderm.training.place import ALONE

Make = Callable[[Benchmark, list[dict[str, Any]]], Given]
TASK = benchmark("sddi1").model_copy(update={"key": "pairs", "folds": 3})
SMALL = AlignSettings(side=64, trials=50)
RECIPE = ChangeRecipe(
    arm="mask",
    pipeline=SMALL,
    epochs=8,
    warmup_epochs=1,
    batch=4,
    learning_rate=5e-3,
    layer_decay=1.0,
    drop_path=0.0,
    hidden=16,
    rotation=20,
    jitter=0.05,
)


def lesion(rng: np.random.Generator, changed: bool) -> np.ndarray:
    """A dark disc on skin; one that has changed is wide and nearly black."""
    y, x = np.mgrid[:48, :48]
    disc = (y - 24) ** 2 + (x - 24) ** 2 < (17 if changed else 9) ** 2
    skin = np.array([215, 170, 150]) + rng.integers(-6, 7, (48, 48, 3))
    return np.where(disc[..., None], [40, 25, 20] if changed else [150, 95, 70], skin).clip(0, 255).astype(np.uint8)


def lesions(count: int) -> list[dict[str, Any]]:
    """Two images a lesion, of a patient each; every other lesion changes."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        changed = number % 2 == 1
        for visit in (1, 2):
            rows.append(
                {"pixels": lesion(rng, changed and visit == 2), "image_id": f"i{number:02d}_{visit}"}
                | {"label": TASK.classes[changed], "split": "test", "fold": (number // 2) % 3, "group": f"g{number:02d}"}
                | {"lesion_id": f"n:{number}", "visit": str(visit), "sex": "female"}
                | {"attributes": json.dumps({"malignant_change": int(number % 4 == 1)})}
            )
    return rows


@pytest.fixture
def given(make_given: Make) -> Given:
    return make_given(TASK, lesions(24))


def settings(given: Given, recipe: ChangeRecipe) -> dict[str, Any]:
    paths = {"split": given.split / "split.parquet", "data": given.data, "encoder": given.encoder}
    made = Settings(recipe=recipe, folds=3, cache=given.features.parent / "aligned", **paths)
    return made.model_dump(mode="json")


@pytest.mark.slow
def test_fit__finds_changes_in_a_process_of_its_own_and_is_judged_out_of_fold(given: Given, tmp_path: Path) -> None:
    from panderm import evaluate, finetune

    config = finetune.Config(change=RECIPE)
    out, evaluation = tmp_path / "model", tmp_path / "evaluation"
    record = finetune.run(config, TASK, given.split, given.data, given.encoder, given.features, out, on_line=[].append)
    assert {"network_0.safetensors", "network_2.safetensors", "folds.json", "curves.png"} <= {p.name for p in out.iterdir()}
    assert record.values["pairs"] == 24
    judged = evaluate.Config(min_groups=5, replicates=200)
    evaluate.run(judged, TASK, given.split, given.data, given.encoder, out, given.features, None, evaluation)
    report = json.loads((evaluation / "report.json").read_text())
    assert report["value"] > 0.9, "discs that double were not told from those that stay"
    assert report["n"] == 24
    assert len(report["folds"]["auroc"]) == 3
    assert report["folds"]["low"] <= report["folds"]["mean"] <= report["folds"]["high"]
    assert "auroc_malignant_change" in report["others"]
    assert {"pairs.png", "roc.png", "confusion.png"} <= {path.name for path in evaluation.iterdir()}
    table = pd.read_parquet(evaluation / "predictions.parquet")
    assert table["image_id"].iloc[0] == "i00_1+i00_2"
    (out / "network_1.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"network_1\.safetensors is missing or not the file folds\.json names"):
        change.predict(given, out)


def test_train__a_killed_training_goes_on_to_the_same_bytes(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 2})
    train(settings(given, recipe), tmp_path / "a", ALONE, [].append)
    real = ChangeFit.epoch

    def killed(self: ChangeFit, number: int) -> float:
        if (self.fold, number) == (1, 1):
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(ChangeFit, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(settings(given, recipe), tmp_path / "b", ALONE, [].append)
    monkeypatch.setattr(ChangeFit, "epoch", real)
    train(settings(given, recipe), tmp_path / "b", ALONE, [].append)
    for fold in range(3):
        name = f"final/network_{fold}.safetensors"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_train__a_frozen_encoder_trains_two_layers_alone(given: Given, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"frozen_encoder": True, "epochs": 2})
    train(settings(given, recipe), tmp_path, ALONE, [].append)
    from safetensors.torch import load_file

    assert set(load_file(tmp_path / "final" / "network_0.safetensors")) == {
        *("joined.weight", "joined.bias", "answer.weight", "answer.bias")
    }


def test_train__a_fold_of_one_class_is_refused(make_given: Make, tmp_path: Path) -> None:
    rows = [row for row in lesions(12) if row["label"] == "unchanged" or row["fold"] == 0]
    with pytest.raises(InputError, match="the training part of fold 1 has 2 pairs that are all 'unchanged'"):
        train(settings(make_given(TASK, rows), RECIPE), tmp_path, ALONE, [].append)


def test_aligned_pairs__are_computed_once(given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = pairs_of(given.rows.frame).head(3)
    wanted = Wanted(SMALL, "whole", Preprocessing(size=32, resize=36))
    first = aligned_pairs(pairs, given.data, tmp_path / "cache", wanted)
    assert first.pixels.shape == (3, 2, 3, 32, 32)

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(cache, "align", never)
    again = aligned_pairs(pairs, given.data, tmp_path / "cache", wanted)
    assert (again.pixels == first.pixels).all()
    assert again.facts == first.facts
    with pytest.raises(AssertionError, match="computed again"):
        aligned_pairs(pairs, given.data, tmp_path / "cache", wanted._replace(arm="warp"))
    path = next((tmp_path / "cache").rglob("*.safetensors"))
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match="is not a file of aligned pairs"):
        aligned_pairs(pairs, given.data, tmp_path / "cache", wanted)


def test_prepare__counts_what_makes_no_pair_and_refuses_nothing_at_all() -> None:
    rows = pd.DataFrame({"image_id": ["a", "b", "c"], "lesion_id": ["x", "x", "y"], "visit": ["1", "2", "1"]})
    prepared = change.prepare(TASK, rows.assign(label="changed"), pd.DataFrame())
    assert list(prepared.rows["image_id"]) == ["a", "b"]
    assert prepared.left_out["single_visit"] == 1
    with pytest.raises(InputError, match="none of its 1 images makes a pair"):
        change.prepare(TASK, rows.assign(label="changed").tail(1), pd.DataFrame())


def test_contrastive__pulls_unchanged_together_and_pushes_changed_up_to_the_margin() -> None:
    here = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    there = torch.tensor([[0.0, 1.0], [3.0, 0.0]])  # at unit length sqrt(2) and 0 apart
    as_labelled = contrastive(here, there, torch.tensor([1, 0]), margin=1.0)
    assert float(as_labelled) == pytest.approx(0.0, abs=1e-6)
    other_way = contrastive(here, there, torch.tensor([0, 1]), margin=1.0)
    assert float(other_way) == pytest.approx((2 + 1) / 2, abs=1e-4)
    same = torch.ones(1, 2, requires_grad=True)
    contrastive(same, torch.ones(1, 2), torch.tensor([1]), margin=1.0).backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def predictions(malignant: list[int | None]) -> pd.DataFrame:
    count = len(malignant)
    p = np.linspace(0.05, 0.95, count).astype(np.float32)
    facts = {"image_id": [f"a{n}+b{n}" for n in range(count)], "group": [f"g{n}" for n in range(count)]}
    facts |= {"target": [n % 2 for n in range(count)], "predicted": (p > 0.5).astype(int), "p_0": 1 - p, "p_1": p}
    facts |= {"fold": [n % 3 for n in range(count)], "registered": True, "agreeing": 9, "difference": p[::-1]}
    frame = pd.DataFrame(facts | dict.fromkeys(("age", "sex", "site", "skin_type")))
    return frame.assign(malignant_change=pd.array(malignant, dtype="Int32"))


def test_score__malignant_change_is_a_figure_where_it_is_known() -> None:
    known = predictions([None] * 8 + [0] * 6 + [1] * 6)
    figures = {f.metric: f for f in all_figures(TASK, known, Resampling(replicates=100)) if f.scope == "overall"}
    assert figures["auroc_malignant_change"].value == 1.0
    assert figures["auroc_pixel_difference"].value == pytest.approx(1 - figures["auroc"].value)
    assert "auroc_malignant_change" not in change.score(TASK, predictions([None] * 20))


def test_details__a_fold_of_one_class_has_no_figure_and_the_others_still_do() -> None:
    frame = predictions([None] * 18)
    frame.loc[frame["fold"] == 2, "target"] = 0
    told = change.details(TASK, frame)["folds"]
    assert told["auroc"][2] is None
    assert told["mean"] == pytest.approx(sum(told["auroc"][:2]) / 2)
