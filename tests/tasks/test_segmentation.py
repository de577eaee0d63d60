from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm import gate
from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json
from panderm.core.tables import write_table
from panderm.evaluation.criteria import judge_floor
from panderm.evaluation.evidence import Evidence, answers_alike, read_predictions
from panderm.evaluation.figures import Resampling, all_figures
from panderm.evaluation.verdict import Outcome
from panderm.imaging.masks import squeezed
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.mask_model import load_mask_model
from panderm.models.task_model import load_model_card
from panderm.tasks import segmentation
from panderm.tasks.kinds import Given, of_served
from panderm.training.place import ALONE
from panderm.training.segmentation import SegmentationFit, Settings, subset, train, weights_name
from panderm.training.segmentation_recipe import SegmentationRecipe

TASK = benchmark("ham10000").model_copy(
    update={"key": "seg", "kind": "segmentation", "classes": ("background", "lesion"), "metric": "jaccard"}
)
SPEC = Preprocessing(size=32, resize=36)  # of make_given
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
    card, scores = load_model_card(out), [seed["score"] for seed in record.values["seeds"]]
    assert card.config["validation_jaccard"] == scores
    assert card.config["served_seed"] == record.values["served_seed"] == int(np.argmax(scores))
    assert card.weights == weights_name(card.config["served_seed"])
    assert card.preprocessing == squeezed(SPEC), "masks are squeezed, and the card says so"
    judged = evaluate.Config(min_groups=5)
    report = evaluate.run(judged, TASK, given.split, given.data, given.encoder, out, given.features, None, evaluation).values
    whole = read_json(evaluation / "report.json")
    served = whole["others"]["jaccard_served"]
    assert served["value"] == pytest.approx(whole["seeds"]["jaccard"]["by_seed"][card.config["served_seed"]], abs=1e-5)
    assert served["low"] < served["value"] < served["high"]
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
            "dice_served": np.float32(0.9),
            "jaccard_served": np.linspace(0.0, 1.0, 20, dtype=np.float32),
            "served_seed": 1,
            "dice_by_seed": [np.float32([0.7, 0.9])] * 20,
            "jaccard_by_seed": [np.float32([0.6, 0.8])] * 20,
            **dict.fromkeys(("age", "sex", "site", "skin_type")),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("panderm.evaluation.figures.kind_of", lambda _: segmentation)
        first, *others = all_figures(TASK, frame.assign(sex=["female", "male"] * 10), Resampling(replicates=200, min_groups=5))
    assert [figure.metric for figure in others[:3]] == ["dice", "jaccard_served", "dice_served"]
    assert {figure.metric for figure in others[3:]} == {"jaccard", "jaccard_served"}, "subgroups tell both"
    assert first.metric == "jaccard"
    assert others[1].value == pytest.approx(0.5, abs=1e-6)
    assert first.value == pytest.approx(0.7, abs=1e-6)
    assert first.low < 0.7 < first.high
    seeds = segmentation.details(TASK, frame)["seeds"]["jaccard"]
    assert seeds["by_seed"] == [0.6, 0.8]
    assert seeds["standard_error"] == pytest.approx(0.1, abs=1e-6)


@pytest.fixture
def laid(given: Given, tmp_path: Path, lay_masks: Callable[..., Path]) -> Callable[[int], Path]:
    return lambda served: lay_masks(TASK, given.rows, given.data, given.encoder, tmp_path / "model", served)


Laid = Callable[[int], Path]


@pytest.mark.parametrize("served", [0, 1])
def test_predict__tells_the_served_network_beside_the_mean(given: Given, laid: Laid, served: int) -> None:
    frame = segmentation.predict(given, laid(served))
    by_seed = np.stack(frame["jaccard_by_seed"].to_list())
    assert by_seed.shape == (10, 2)
    assert (by_seed[:, 0] != by_seed[:, 1]).any()
    np.testing.assert_array_equal(frame["jaccard_served"], by_seed[:, served])
    np.testing.assert_allclose(frame["jaccard"], by_seed.mean(axis=1), atol=1e-6)
    alone = segmentation.served(frame)
    np.testing.assert_array_equal(alone["jaccard"], by_seed[:, served])
    told = segmentation.details(TASK, frame)["served"]
    assert told == {"seed": served, "missed": int((by_seed[:, served] == 0).sum())}


def test_answers__of_the_served_network_are_what_it_was_judged_by(given: Given, laid: Laid, tmp_path: Path) -> None:
    model = laid(1)
    ours, served = segmentation.predict(given, model), load_mask_model(model)
    theirs = segmentation.answers(given, served.card.preprocessing, served.probabilities)
    for column in ("image_id", "dice_served", "jaccard_served"):
        assert list(theirs[column]) == list(ours[column])
    assert list(theirs["jaccard"]) == list(theirs["jaccard_served"])
    assert answers_alike(TASK, segmentation.served(ours), segmentation.served(theirs)), "a model against itself"
    write_table(tmp_path / "theirs.parquet", theirs, segmentation.schema(TASK))
    assert read_predictions(tmp_path / "theirs.parquet", TASK)["served_seed"].isna().all()


def test_predict__weights_of_another_fit_are_named(given: Given, laid: Laid) -> None:
    model = laid(1)
    (model / "network.safetensors").write_bytes((model / "network_1.safetensors").read_bytes())
    with pytest.raises(
        InputError, match=r"network.safetensors is missing or not the file model.json describes; run `panderm fi"
    ):
        segmentation.predict(given, model)


def test_gate__judges_the_network_that_is_served_and_not_the_mean() -> None:
    frame = pd.DataFrame({"group": [f"g{n}" for n in range(60)], "jaccard": 0.9, "dice": 0.9})
    frame["jaccard_served"] = frame["dice_served"] = np.linspace(0.5, 0.6, 60)
    judged = of_served(TASK, frame)
    floor = judge_floor(Evidence(TASK, TASK.classes, judged, None, None, {}), gate.Config().thresholds(TASK))
    assert floor.outcome is Outcome.FAIL
    assert floor.reason.startswith("Jaccard of the network that is served is 0.550 (")


@pytest.mark.parametrize(
    ("scores", "best"), [([0.7, 0.8, 0.75], 1), ([0.8, 0.7, 0.8], 0), ([None, None], 0), ([None, 0.0], 1), ([0.5], 0)]
)
def test_best_seed__by_validation_and_of_equals_the_first(scores: list[float | None], best: int) -> None:
    assert segmentation.best_seed(scores) == best
