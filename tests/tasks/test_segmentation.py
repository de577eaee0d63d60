from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.evaluation.figures import Resampling, all_figures
from panderm.tasks import segmentation
from panderm.tasks.kinds import Given
from panderm.training.place import ALONE
from panderm.training.segmentation import SegmentationFit, Settings, subset, train
from panderm.training.segmentation_recipe import SegmentationRecipe

TASK = benchmark("ham10000").model_copy(
    update={"key": "seg", "kind": "segmentation", "classes": ("background", "lesion"), "metric": "jaccard"}
)
RECIPE = SegmentationRecipe(
    epochs=12, batch=6, learning_rate=2e-3, channels=16, seeds=2, jitter=0.1, rotation=20, drop_path=0.0
)


def discs(count: int) -> list[dict[str, Any]]:
    """Bright discs on a dark, noisy ground, and their masks."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        y, x = np.mgrid[:40, :40]
        mask = (y - rng.uniform(12, 28)) ** 2 + (x - rng.uniform(12, 28)) ** 2 < rng.uniform(6, 11) ** 2
        pixels = (rng.integers(0, 60, (40, 40, 3)) + 150 * mask[..., None]).astype(np.uint8)
        split = "train" if number < count * 0.6 else "val" if number < count * 0.75 else "test"
        rows.append({"pixels": pixels, "mask": (255 * mask).astype(np.uint8), "label": "lesion", "split": split})
    return rows


@pytest.fixture
def given(make_given: Callable[[Benchmark, list[dict[str, Any]]], Given]) -> Given:
    return make_given(TASK, discs(40))


def fitted(given: Given, work: Path, recipe: SegmentationRecipe = RECIPE) -> Path:
    """Train in this process; that it is the same in one of its own is what test_fit says."""
    settings = Settings(recipe=recipe, split=given.split / "split.parquet", data=given.data, encoder=given.encoder)
    train(settings.model_dump(mode="json"), work, ALONE, [].append)
    return work / "final"


@pytest.mark.slow
def test_fit__finds_discs_in_a_process_of_its_own_and_is_judged_with_an_interval(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from panderm import evaluate, finetune
    from panderm.tasks import kinds

    monkeypatch.setattr(kinds, "kind_of", lambda _: segmentation)
    config = finetune.Config(segmentation=RECIPE)
    out, evaluation = tmp_path / "model", tmp_path / "evaluation"
    record = finetune.run(config, TASK, given.split, given.data, given.encoder, given.features, out, on_line=[].append)
    assert {"network.safetensors", "network_1.safetensors", "model.json", "curves.png"} <= {p.name for p in out.iterdir()}
    assert record.values["train_images"] == 24
    judged = evaluate.Config(min_groups=5)
    report = evaluate.run(judged, TASK, given.split, given.data, given.encoder, out, given.features, None, evaluation).values
    assert report["value"] > 0.5, "bright discs on a dark ground were not found"
    assert report["low"] < report["value"] < report["high"]
    assert {"masks.png", "overlap.png"} <= {path.name for path in evaluation.iterdir()}


def test_train__a_killed_training_goes_on_to_the_same_bytes(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 3, "seeds": 1})
    whole = fitted(given, tmp_path / "a", recipe) / "network.safetensors"
    real = SegmentationFit.epoch

    def killed(self: SegmentationFit, number: int) -> float:
        if number == 2:
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(SegmentationFit, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(given, tmp_path / "b", recipe)
    monkeypatch.setattr(SegmentationFit, "epoch", real)
    assert (fitted(given, tmp_path / "b", recipe) / "network.safetensors").read_bytes() == whole.read_bytes()


def test_prepare__leaves_out_images_without_a_mask_and_refuses_none_at_all() -> None:
    rows = pd.DataFrame({"image_id": ["a", "b"]})
    masks = pd.DataFrame({"image_id": ["b"], "mask_shard": ["s"], "mask_offset": [0], "mask_nbytes": [9]})
    prepared = segmentation.prepare(TASK, rows, masks)
    assert list(prepared.rows["image_id"]) == ["b"]
    assert prepared.left_out == {"without_mask": 1}
    with pytest.raises(InputError, match="none of its 2 images has a mask"):
        segmentation.prepare(TASK, rows, masks.iloc[:0])


def test_train__an_empty_mask_names_its_image(
    make_given: Callable[[Benchmark, list[dict[str, Any]]], Given], tmp_path: Path
) -> None:
    rows = discs(10)
    rows[3]["mask"] = np.zeros((40, 40), dtype=np.uint8)
    with pytest.raises(InputError, match="the mask of i003 marks no pixel"):
        fitted(make_given(TASK, rows), tmp_path / "w")


def test_subset__smaller_shares_lie_within_larger_ones_and_seeds_draw_their_own() -> None:
    frame = pd.DataFrame({"group": [f"g{n // 2}" for n in range(40)]})
    small, large, other = (
        set(frame["group"].iloc[subset(frame, share, seed)]) for share, seed in ((0.2, 0), (0.5, 0), (0.2, 1))
    )
    assert len(small) == 4
    assert small < large
    assert other != small
    assert list(subset(frame, 1.0, 0)) == list(range(40))


def test_figures__primary_is_the_mean_jaccard_and_details_give_each_seed() -> None:
    frame = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(20)],
            "group": [f"g{n}" for n in range(20)],
            "dice": np.float32(0.8),
            "jaccard": np.linspace(0.5, 0.9, 20, dtype=np.float32),
            "dice_by_seed": [np.float32([0.7, 0.9])] * 20,
            "jaccard_by_seed": [np.float32([0.6, 0.8])] * 20,
            **dict.fromkeys(("age", "sex", "site", "skin_type")),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("panderm.evaluation.figures.kind_of", lambda _: segmentation)
        first, second = all_figures(TASK, frame, Resampling(replicates=200))
    assert (first.metric, second.metric) == ("jaccard", "dice")
    assert first.value == pytest.approx(0.7, abs=1e-6)
    assert first.low < 0.7 < first.high
    seeds = segmentation.details(TASK, frame)["seeds"]["jaccard"]
    assert seeds["by_seed"] == [0.6, 0.8]
    assert seeds["standard_error"] == pytest.approx(0.1, abs=1e-6)
