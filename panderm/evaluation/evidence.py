"""What a verdict rests on: model, report and predictions, read only if they belong together to the last byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError, Refused
from panderm.core.files import read_json, sha256_bytes, sha256_file
from panderm.core.layout import written_by
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import read_table
from panderm.evaluation.bootstrap import Statistic
from panderm.evaluation.verdict import Champion
from panderm.imaging.preprocessing import Preprocessing
from panderm.tasks.kinds import judged_classes, kind_of, of_served, serves_one_of_several

MODEL_NAME, REPORT_NAME = "model.json", "report.json"
PREDICTIONS_NAME, CHAMPION_PREDICTIONS_NAME = "predictions.parquet", "champion_predictions.parquet"
_AGREES = 1e-6  # difference of the report's figure and ours; both are float64 sums over the same rows
_ALIKE = 1e-4  # difference of two scores of one model; what export lets pass between torch and ONNX (its tolerance)


class Evidence(NamedTuple):
    """A task model's predictions on its test split, and what they are bound to; of several networks, those of the served one.

    Attributes:
        task: the benchmark.
        classes: its labels in index order.
        predictions: one row a test image, sorted by image_id.
        champion_predictions: the champion's, for the same images in the same order; None at a first release.
        champion: who it is.
        hashes: ``model_sha256``, ``split_sha256``, ``preprocessing_sha256``, ``report_sha256``.
    """

    task: Benchmark
    classes: tuple[str, ...]
    predictions: pd.DataFrame
    champion_predictions: pd.DataFrame | None
    champion: Champion | None
    hashes: dict[str, str]

    def statistic(self, predictions: pd.DataFrame) -> Statistic:
        """Return the task's primary metric on rows of a predictions table, as a function of row weights."""
        return kind_of(self.task).primary(self.task, predictions)

    @property
    def whose(self) -> str:
        """What to say after a figure's name of whose it is: nothing, unless it is one network's of several."""
        return " of the network that is served" if serves_one_of_several(self.task) else ""


def gather_evidence(task: Benchmark, evaluation: Path, model: Path) -> Evidence:
    """Read model, report and predictions, and hold them against each other.

    Raises:
        InputError: a file is missing or is not what its stage writes.
        Refused: hashes, figures or image ids do not agree, so the files are not of one evaluation.
    """
    card, report = read_json(model / MODEL_NAME), read_json(evaluation / REPORT_NAME)
    bound = _bound_hashes(task, card, report, evaluation, model)
    classes = tuple(card["classes"])
    predictions = read_predictions(evaluation / PREDICTIONS_NAME, task)
    _held(task, "predictions", report.get("predictions_sha256"), sha256_file(evaluation / PREDICTIONS_NAME))
    value = kind_of(task).primary(task, predictions)(np.ones(len(predictions)))
    said = report.get("value")
    if not (said is None and np.isnan(value)) and not (isinstance(said, int | float) and abs(said - value) <= _AGREES):
        raise Refused(
            f"{task.key}: the report says {task.metric} {said}, the predictions come to {value:.6f}; "
            f"run `panderm evaluate {task.key}` again"
        )
    champion, theirs = _champion(task, report, evaluation, predictions)
    return Evidence(
        task, classes, of_served(task, predictions), None if theirs is None else of_served(task, theirs), champion, bound
    )


def _bound_hashes(task: Benchmark, card: Any, report: Any, evaluation: Path, model: Path) -> dict[str, str]:
    for name, text in ((MODEL_NAME, card), (REPORT_NAME, report)):
        if text.get("task") != task.key:
            raise Refused(f"{name} is of task {text.get('task')!r}, not {task.key!r}; name the folders of {task.key!r}")
    if missing := [name for name in ("classes", "split_sha256", "preprocessing", "weights") if name not in card]:
        raise InputError(f"{model / MODEL_NAME} lacks {missing[0]!r}; run `panderm finetune {task.key}` again")
    if tuple(card["classes"]) != task.classes:
        raise Refused(f"{task.key}: the model answers {card['classes']}, the task has {list(task.classes)}; fine-tune again")
    weights = model / str(card["weights"])
    if not weights.is_file():
        raise InputError(f"{weights} is missing; run `panderm finetune {task.key}` again")
    _held(task, "weights", card.get("weights_sha256"), sha256_file(weights), stage="finetune")
    hashes = {
        "model_sha256": sha256_file(model / MODEL_NAME),
        "split_sha256": str(card["split_sha256"]),
        "preprocessing_sha256": preprocessing_hash(card["preprocessing"]),
    }
    for name, expected in hashes.items():
        _held(task, name.removesuffix("_sha256"), report.get(name), expected)
    hashes["report_sha256"] = sha256_file(evaluation / REPORT_NAME)
    if (evaluation / RECORD_NAME).is_file():
        noted = Record.load(evaluation).hashes.get("report", hashes["report_sha256"])
        _held(task, "report", noted, hashes["report_sha256"])
    return hashes


def preprocessing_hash(values: dict[str, Any]) -> str:
    """Return the sha256 of a preprocessing description in the form in which it is stored everywhere.

    Raises:
        InputError: the values are no such description.
    """
    try:
        return sha256_bytes(Preprocessing.from_json(json.dumps(values)).to_json().encode())
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the model's preprocessing is not one of this version ({error}); run `panderm finetune` again"
        ) from error


def _held(task: Benchmark, what: str, noted: object, seen: str, stage: str = "evaluate") -> None:
    if noted != seen:
        raise Refused(
            f"{task.key}: the hash of the {what} at hand is {seen[:12]}, but {str(noted)[:12]} was noted; "
            f"run `panderm {stage} {task.key}` again"
        )


def read_predictions(path: Path, task: Benchmark) -> pd.DataFrame:
    """Return a predictions table, sorted by image_id.

    Raises:
        InputError: the file is missing or damaged, lacks a column, has no row, repeats a case, a target is out of range or a
            score is not finite.
    """
    schema = kind_of(task).schema(task)
    frame, again = read_table(path, schema), f"run {written_by(path)} again"
    if frame.empty or frame["image_id"].duplicated().any():
        raise InputError(f"{path} has {'no row' if frame.empty else 'an image twice'}; {again}")
    scores = _scores(schema)
    in_range = "target" not in frame or frame["target"].between(0, len(judged_classes(task)) - 1).all()
    if not in_range or not np.isfinite(frame[scores].to_numpy(dtype=np.float64)).all():
        raise InputError(f"{path} has a target, probability or group that cannot be; {again}")
    return frame.sort_values("image_id", ignore_index=True)


def answers_alike(task: Benchmark, ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Return whether two predictions tables of the same cases are of models that answer alike: of one model, run twice."""
    names = _scores(kind_of(task).schema(task))
    return bool(np.abs(ours[names].to_numpy(dtype=np.float64) - theirs[names].to_numpy(dtype=np.float64)).max() <= _ALIKE)


def _scores(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if field.type == pa.float32()]


def _champion(
    task: Benchmark, report: Any, evaluation: Path, predictions: pd.DataFrame
) -> tuple[Champion | None, pd.DataFrame | None]:
    named, path = report.get("champion"), evaluation / CHAMPION_PREDICTIONS_NAME
    if named is None and not path.is_file():
        return None, None
    if named is None or not path.is_file():
        what = "names a champion but has no predictions of it" if named else "has a champion's predictions but does not name it"
        raise Refused(f"{task.key}: the evaluation {what}; run `panderm evaluate {task.key}` again")
    _held(task, "champion's predictions", named.get("predictions_sha256"), sha256_file(path))
    theirs = read_predictions(path, task)
    if list(theirs["image_id"]) != list(predictions["image_id"]) or not _same_targets(theirs, predictions):
        raise Refused(
            f"{task.key}: champion and challenger were not evaluated on the same images and labels; "
            f"run `panderm evaluate {task.key}` again"
        )
    return Champion.parse({name: named.get(name) for name in Champion.model_fields}, where="champion in report.json"), theirs


def _same_targets(theirs: pd.DataFrame, ours: pd.DataFrame) -> bool:
    return "target" not in ours or bool((theirs["target"] == ours["target"]).all())
