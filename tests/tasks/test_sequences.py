from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.core.files import write_json
from panderm.evaluation.first_correct import first_correct
from panderm.tasks import sequences
from panderm.tasks.cards import write_card
from panderm.tasks.diagnosis import Recipe
from panderm.tasks.folds import fold_names
from panderm.tasks.kinds import Given
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe

TASK = benchmark("isic2024").model_copy(update={"key": "seq", "kind": "sequences", "folds": 4})
PROBE = Recipe("linear_probe", LinearProbeRecipe(penalty="tuned"), FineTuneRecipe())


def lesions(count: int, images: int = 3) -> list[dict[str, Any]]:
    """Sequences that get brighter over time if they are malignant."""
    rng = np.random.default_rng(0)
    rows = []
    for lesion in range(count):
        malignant = lesion % 2
        for visit in range(1, images + 1):
            pixels = np.clip(rng.normal(80 + 50 * malignant * visit, 12, (40, 40, 3)), 0, 255).astype(np.uint8)
            rows.append(
                {"pixels": pixels, "label": TASK.classes[malignant], "split": "test", "fold": (lesion // 2) % 4}
                | {"lesion_id": f"n:{lesion}", "visit": str(visit), "group": f"g{lesion:02d}"}
                | {"image_id": f"i{lesion:02d}_{visit}"}
            )
    return rows


def test_fold_names__each_fold_is_tested_once_and_never_trained_on() -> None:
    frame = pd.DataFrame({"fold": [0, 1, 2, 3] * 2})
    for fold in range(4):
        names = fold_names(frame, fold, 4)
        assert set(frame.loc[names == "test", "fold"]) == {fold}
        assert set(frame.loc[names == "val", "fold"]) == {(fold + 1) % 4}
        assert (names == "train").sum() == 4


def test_fit__out_of_fold_probabilities_find_the_malignant_ones(
    make_given: Callable[[Benchmark, list[dict[str, Any]]], Given], tmp_path: Path
) -> None:
    given = make_given(TASK, lesions(24))
    folder = tmp_path / "model"
    folder.mkdir()
    fitted = sequences.fit(PROBE, given, folder)
    from panderm.models.encoder import load_card

    write_card(TASK, given.rows, load_card(given.encoder), fitted, folder)
    predictions = sequences.predict(given, folder)
    assert len(predictions) == 72
    assert sequences.primary(TASK, predictions)(np.ones(72)) > 0.8
    details = sequences.details(TASK, predictions)
    assert len(details["folds"]["auroc"]) == 4
    assert details["folds"]["low"] <= details["folds"]["mean"] <= details["folds"]["high"]
    told = details["first_correct"]
    assert (told["sequences"], told["melanomas"]) == (24, 12)
    assert len(told["first_called_at"]) == 3
    assert told["first_called_at"][0] == told["called_at_first_image"]
    assert sum(told["first_called_at"]) == told["called_at_some_image"]
    assert told["called_at_first_image"] <= told["called_at_some_image"] <= 12
    (tmp_path / "pictures").mkdir()
    sequences.draw(tmp_path / "pictures", given, folder, predictions)
    assert (tmp_path / "pictures" / "first_correct.png").is_file()
    write_json(folder / "folds.json", ["0" * 64] * 4)
    with pytest.raises(InputError, match=r"fold_0 is missing or not the model folds\.json names"):
        sequences.predict(given, folder)


def test_prepare__a_lesion_of_two_labels_is_left_out_and_named_and_the_others_go_on() -> None:
    label, lesion = ["benign", "malignant", "benign"], ["n:1", "n:1", "n:2"]
    rows = pd.DataFrame({"image_id": list("abc"), "label": label, "lesion_id": lesion, "visit": ["1", "2", "1"]})
    prepared = sequences.prepare(TASK, rows, pd.DataFrame())
    assert list(prepared.rows["image_id"]) == ["c"]
    assert prepared.left_out["several_labels"] == 2
    sentence = "lesion n:1 is left out: its images have the labels benign, malignant, but the label is the lesion's"
    assert prepared.notes == (sentence,)
    with pytest.raises(InputError, match=r"no lesion is left \(lesion n:1 is left out: .*\); mend the labels"):
        sequences.prepare(TASK, rows[:2], pd.DataFrame())


def test_prepare__images_without_a_time_point_are_counted() -> None:
    rows = pd.DataFrame({"label": ["benign"] * 3, "lesion_id": ["n:1", None, "n:2"], "visit": ["1", "2", "later"]})
    prepared = sequences.prepare(TASK, rows.assign(image_id=["a", "b", "c"]), pd.DataFrame())
    assert list(prepared.rows["image_id"]) == ["a"]
    assert prepared.left_out["without_time_point"] == 2


def test_prepare__one_image_a_time_point_so_that_it_can_be_evaluated() -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["d", "c", "b", "a"],
            "label": "malignant",
            "lesion_id": "n:1",
            "visit": ["2019-03-01", "2019-03-01", "2018-11-20", "2019-03-01"],
        }
    )
    prepared = sequences.prepare(TASK, rows, pd.DataFrame())
    assert list(prepared.rows["image_id"]) == ["b", "a"]
    assert prepared.left_out == {"unlabelled": 0, "without_time_point": 0, "several_labels": 0, "same_time_point": 2}
    times = sequences.time_points(prepared.rows)
    first_correct(pd.DataFrame({"sequence": "n:1", "time_point": times, "probability": 0.7, "label": 1}))
