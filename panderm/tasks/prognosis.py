"""Prognosis: from the picture of a primary melanoma, has it spread, and when will it come back (paper, Methods)?

Two linear probes are judged out of fold, on folds by patient that are balanced by stage: any metastasis against none, whose
probability is the score, and the three groups none, local and distant. What the score says of the time to recurrence is in
:mod:`panderm.tasks.recurrence`. The model is judged, not served: there is one a fold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json
from panderm.evaluation.bootstrap import Statistic, auroc_statistic
from panderm.evaluation.kfold import told_by_fold
from panderm.tasks import diagnosis
from panderm.tasks.attributes import attributes, numbers
from panderm.tasks.kinds import Counted, Fitted, Given, Prepared
from panderm.tasks.outcomes import NUMBERS, outcomes, patient_of

EXPORTED = False
COUNTED = Counted("images", "patients")
ANY, GROUPS = "metastasis", "groups"
PROBES_NAME = "probes.json"
_TEXTS = ("stage", "subtype")
class_score = diagnosis.class_score


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the labelled images of patients whose outcome is known, to be balanced by stage; the others are told.

    Raises:
        InputError: no image has a usable outcome, or those with one are all with or all without a metastasis.
    """
    labelled = diagnosis.prepare(task, rows, masks)
    found = outcomes(labelled.rows)
    known = labelled.rows[found.usable]
    if known.empty:
        raise InputError(
            f"{task.key}: none of its {len(labelled.rows)} images has an outcome that can be used ({found.notes[0]}); "
            "mend the delivery"
        )
    without = known["label"] == task.classes[0]
    if without.nunique() < 2:
        seen = ", ".join(sorted(known["label"].unique()))
        raise InputError(
            f"{task.key}: all {len(known)} images with an outcome are {seen}, but {task.classes[0]} and others are needed; "
            "deliver more"
        )
    stage = attributes(known, ("stage",))["stage"]
    return Prepared(known.assign(stratum=stage.fillna("unknown")), labelled.left_out | found.left_out, found.notes)


def fit(recipe: diagnosis.Recipe, given: Given, folder: Path) -> Fitted:
    """Fit both probes on each fold."""
    from panderm.tasks.folds import FOLDS_NAME, fit_folds

    told = {}
    for name, part in ((ANY, _any(given)), (GROUPS, given)):
        given.say(f"linear probes of {' or '.join(part.task.classes)}")
        (folder / name).mkdir()
        fitted = fit_folds(recipe, part._replace(work=given.work / name), folder / name)
        told[name] = fitted.values["folds"]
    (folder / ANY / "curves.png").replace(folder / "curves.png")
    (folder / GROUPS / "curves.png").unlink()
    write_json(folder / PROBES_NAME, {name: sha256_file(folder / name / FOLDS_NAME) for name in told})
    return Fitted(PROBES_NAME, "probe_and_cox", fitted.settings, told)


def _any(given: Given) -> Given:
    """Return the task of two classes: the first of the three against the others."""
    task = given.task.model_copy(update={"classes": (given.task.classes[0], ANY)})
    target = given.rows.frame["target"].clip(upper=1)
    frame = given.rows.frame.assign(target=target, label=target.map(dict(enumerate(task.classes))))
    return given._replace(task=task, rows=given.rows._replace(frame=frame))


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return out-of-fold probabilities of every image, with what is known of its patient.

    Raises:
        InputError: a probe is missing or another than the model's.
    """
    from panderm.evaluation.tables import predictions_frame
    from panderm.tasks.folds import FOLDS_NAME, probabilities

    for name, digest in read_json(model / PROBES_NAME).items():
        path = model / name / FOLDS_NAME
        if not path.is_file() or sha256_file(path) != digest:
            raise InputError(
                f"{path} is missing or not the one {PROBES_NAME} names; run `panderm finetune {given.task.key}` again"
            )
    rows = given.rows.frame
    frame = pd.concat([rows, numbers(rows, NUMBERS), attributes(rows, _TEXTS)], axis=1)
    frame = frame.assign(patient=patient_of(rows), score=probabilities(_any(given), model / ANY)[:, 1])
    return predictions_frame(frame, probabilities(given, model / GROUPS))


def schema(task: Benchmark) -> pa.Schema:
    """Return a classifier's columns of the three groups, the score, and what survival needs."""
    more = [("score", pa.float32()), ("fold", pa.int32()), ("patient", pa.string())]
    more += [(name, pa.float64()) for name in NUMBERS] + [(name, pa.string()) for name in _TEXTS]
    return pa.schema([*diagnosis.schema(task), *(pa.field(*column) for column in more)])


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return the AUROC over images of any metastasis against none."""
    assert task.metric == "auroc"
    return auroc_statistic(predictions["target"] > 0, predictions["score"])


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return the weighted F1 and mean AUROC of the three groups, and further figures of the two."""
    from panderm.evaluation.metrics import statistics

    three, two = statistics(predictions), statistics(_two(task, predictions))
    kept = ("aupr", "balanced_accuracy", "brier", "calibration_error")
    of_groups = {"weighted_f1": three["weighted_f1"], "auroc_one_vs_rest": three["auroc"]}
    return of_groups | {name: two[name] for name in kept}


def _two(task: Benchmark, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions table of any metastasis against none."""
    chance = predictions["score"].to_numpy(dtype=np.float64)
    kept = predictions.drop(columns=[f"p_{index}" for index in range(len(task.classes))])
    two = kept.assign(target=kept["target"].clip(upper=1), predicted=(chance > 0.5).astype(np.int32))
    return two.assign(p_0=1 - chance, p_1=chance)


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:  # noqa: ARG001
    """Write the pictures of the two classes, and those of survival that can be drawn."""
    from panderm.evaluation.plots import draw_all
    from panderm.tasks.recurrence import draw_recurrence

    draw_all(folder, _two(given.task, predictions), (given.task.classes[0], ANY), given.task.key)
    draw_recurrence(folder, predictions, given.task.key)


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return survival, the AUROC of each fold with the paper's interval over folds, and the confusion of the groups."""
    from panderm.tasks.recurrence import recurrence

    folds = told_by_fold(predictions, "auroc", lambda part: primary(task, part), task.folds)
    return {"survival": recurrence(predictions), "folds": folds, **diagnosis.details(task, predictions)}
