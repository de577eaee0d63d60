"""Sequences: images of a lesion over time, each judged malignant or not; how early is a melanoma called one (reader study 1).

Ten folds by patient, the network of each fine-tuned without the patients it is asked about (paper, Methods). The model is
judged, not served: there is one a fold, and none of them is the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic
from panderm.evaluation.kfold import told_by_fold
from panderm.imaging.sequential.pairs import first_of_each_time, time_points
from panderm.tasks import diagnosis
from panderm.tasks.agreeing import SEVERAL, one_label
from panderm.tasks.kinds import Fitted, Given, Prepared

EXPORTED = False
score, class_score = diagnosis.score, diagnosis.class_score


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the labelled images of a sequence (``lesion_id``) of one label with a time point (``visit``), one a time point.

    Raises:
        InputError: there is none, or every lesion has images of two labels.
    """
    labelled = diagnosis.prepare(task, rows, masks)
    time = time_points(labelled.rows)
    placed = labelled.rows[time.notna()]
    if placed.empty:
        raise InputError(
            f"{task.key}: no image has a lesion and a time point; deliver lesion_id and visit (a number or a date, year first)"
        )
    agrees, notes = one_label(task.key, placed, "lesion")
    agreeing = placed[agrees]
    kept = agreeing[first_of_each_time(agreeing, time[agreeing.index])]
    left_out = {
        "without_time_point": len(labelled.rows) - len(placed),
        SEVERAL: len(placed) - len(agreeing),
        "same_time_point": len(agreeing) - len(kept),
    }
    return Prepared(kept, labelled.left_out | left_out, notes)


def fit(recipe: diagnosis.Recipe, given: Given, folder: Path) -> Fitted:
    """Fit a classifier for each fold."""
    from panderm.tasks.folds import fit_folds

    return fit_folds(recipe, given, folder)


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return out-of-fold probabilities of every image, with its sequence and time point."""
    from panderm.evaluation.tables import predictions_frame
    from panderm.tasks.folds import probabilities

    rows = given.rows.frame.assign(sequence=given.rows.frame["lesion_id"], time_point=time_points(given.rows.frame))
    return predictions_frame(rows, probabilities(given, model))


def schema(task: Benchmark) -> pa.Schema:
    """Return a classifier's columns, and ``fold``, ``sequence``, ``time_point``."""
    more = [("fold", pa.int32()), ("sequence", pa.string()), ("time_point", pa.float64())]
    return pa.schema([*diagnosis.schema(task), *(pa.field(*column) for column in more)])


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return the AUROC over images."""
    return diagnosis.primary(task, predictions)


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    """Write the classifier's pictures, and by which image of its sequence each melanoma was called one."""
    from panderm.evaluation.sequence_plots import draw_first_correct

    diagnosis.draw(folder, given, model, predictions)
    draw_first_correct(folder / "first_correct.png", first_calls(predictions), given.task.key)


def first_calls(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the first correct malignant call of each malignant sequence, at a probability of 0.5."""
    from panderm.evaluation.first_correct import first_correct

    frame = pd.DataFrame({"sequence": predictions["sequence"], "time_point": predictions["time_point"]})
    return first_correct(frame.assign(probability=predictions["p_1"].clip(0, 1), label=predictions["target"]))


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return at which image melanomas were first called, and the AUROC of each fold with the paper's interval over folds."""
    first = first_calls(predictions)
    called, longest = first["first"].notna(), max(first["images"], default=0)
    told = {
        "sequences": int(predictions["sequence"].nunique()),
        "melanomas": len(first),
        "first_called_at": np.bincount(first.loc[called, "first"].astype(int), minlength=longest + 1)[1:].tolist(),
        "called_at_first_image": int((first["first"] == 1).sum()),
        "called_at_some_image": int(called.sum()),
        "median_image_of_first_call": float(np.median(first.loc[called, "first"].astype(float))) if called.any() else None,
    }
    folds = told_by_fold(predictions, task.metric, lambda part: primary(task, part), task.folds)
    return {"first_correct": told, "folds": folds, **diagnosis.details(task, predictions)}
