"""Evaluate: task model + test split -> predictions, figures with patient-clustered intervals, pictures, a report.

The report names by hash what it speaks of, so that the gate can bind a verdict to it. Where something serves already, its
ONNX graphs answer the same images with their own preprocessing, for the paired comparison.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from panderm.catalog import Benchmark
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import building_folder, sha256_file, write_json
from panderm.core.record import Record
from panderm.core.tables import write_table
from panderm.evaluation.bootstrap import LEVEL, METHOD, REPLICATES, Method, Unit
from panderm.tasks.kinds import Compute, Given, kind_of
from panderm.tasks.rows import Rows, read_rows

if TYPE_CHECKING:
    from panderm.evaluation.tables import Figure
    from panderm.models.task_model import ModelCard

STAGE = "evaluate"
_TOLD = ("metric", "value", "low", "high", "protocol", "views", "champion", "absent_classes")  # of the report, in the record


class Config(FrozenConfig):
    """Settings of the stage.

    Attributes:
        replicates: bootstrap replicates (paper: 1,000).
        level: coverage of the intervals (paper: 95 %).
        seed: of the replicates and of the views.
        min_groups: patients (or lesions, or images) below which a class or subgroup gets no interval; measured for the
            gate (docs/gate.md): with 15 an interval said to hold in 95 % holds in 98 %.
        bootstrap: ``clustered`` draws whole patients; ``plain`` draws single images, to match the paper.
        interval: ``studentised``, which holds its level from 50 images on (docs/statistics.md), or the paper's ``percentile``.
        views: random views of an image, of whose logits a fine-tuned classifier's answer is the mean (5: public code's
            test-time augmentation, :mod:`panderm.training.tta`); 1 is the plain view, which is what is served (and how reader
            study 2 was run). Other models have that one always.
        batch: images a forward pass.
        device: ``auto`` takes a GPU if there is one.
    """

    replicates: int = Field(default=REPLICATES, ge=100)
    level: float = Field(default=LEVEL, gt=0.5, lt=1.0)
    seed: int = Field(default=0, ge=0)
    min_groups: int = Field(default=15, ge=2)
    bootstrap: Unit = "clustered"
    interval: Method = METHOD
    views: int = Field(default=1, ge=1)
    batch: int = Field(default=64, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


def run(
    config: Config,
    task: Benchmark,
    split: Path,
    data: Path,
    encoder: Path,
    model: Path,
    features: Path,
    champion: Path | None,
    out: Path,
) -> Record:
    """Judge the task's model on its test split.

    Args:
        config: settings.
        task: a runnable benchmark.
        split: curate's output folder for the task.
        data: the published datasets.
        encoder: pretrain's output folder; a fine-tuned network does not need it.
        model: finetune's output folder.
        features: the feature cache.
        champion: folder of the bundle that serves now; None before the first release.
        out: the evaluation folder (docs/architecture.md), replaced whole.

    Raises:
        InputError: an input is missing or damaged, belongs to another task or split, or the test split has one class.
    """
    from panderm.evaluation.evidence import CHAMPION_PREDICTIONS_NAME, PREDICTIONS_NAME, REPORT_NAME
    from panderm.evaluation.figures import Resampling, all_figures
    from panderm.evaluation.tables import METRICS
    from panderm.models.task_model import load_model_card

    kind, rows = kind_of(task), read_rows(task, split)
    card = load_model_card(model)
    _check_model(task, rows, card, model)
    schema, test = kind.schema(task), rows.part("test")
    compute = Compute(feature_batch=config.batch, device=config.device)
    folders = (split, data, encoder, features, features.parent / STAGE / task.key)
    given = Given(task, rows, *folders, compute, views=_views(config, card), seed=config.seed)
    predictions = _finite(kind.predict(given, model), schema, f"the model of {task.key}")
    how = Resampling(config.replicates, config.level, config.seed, config.min_groups, config.bootstrap, config.interval)
    figures = all_figures(task, predictions, how)
    with building_folder(out) as folder:
        write_table(folder / PREDICTIONS_NAME, predictions, schema)
        write_table(folder / "metrics.parquet", pd.DataFrame(figures), METRICS)
        kind.draw(folder, given, model, predictions)
        serving = None
        if champion is not None:
            theirs = _finite(_champion_answers(given, champion), schema, f"the champion of {task.key}")
            write_table(folder / CHAMPION_PREDICTIONS_NAME, theirs, schema)
            serving = _champion(champion, folder / CHAMPION_PREDICTIONS_NAME)
        report = _report(config, task, card, model, predictions, figures, serving, folder / PREDICTIONS_NAME)
        write_json(folder / REPORT_NAME, report)
        record = _record(config, report, test, folder / REPORT_NAME)
        record.save(folder)
    return record


def _views(config: Config, card: ModelCard) -> int:
    """Return how many views of an image the model answers by: what is set, if it is a fine-tuned classifier."""
    return config.views if card.protocol == "fine_tuning" else 1


def _check_model(task: Benchmark, rows: Rows, card: ModelCard, model: Path) -> None:
    again = f"run `panderm finetune {task.key}` again"
    if card.task != task.key:
        raise InputError(f"{model} is a model of task {card.task!r}, not of {task.key!r}; name the folder of {task.key!r}")
    if card.classes != task.classes:
        raise InputError(f"{model} answers {', '.join(card.classes)}, but {task.key} has {', '.join(task.classes)}; {again}")
    if card.split_sha256 != rows.sha256:
        raise InputError(
            f"{model} was fitted on another split than the one that lies there now, so it may have seen test images; {again}"
        )


def _champion_answers(given: Given, champion: Path) -> pd.DataFrame:
    """Return the predictions table of what serves now, by its released graphs and its own preprocessing."""
    from panderm.serving.runner import BundleRunner

    runner, task = BundleRunner(champion), given.task
    if runner.bundle.task != task.key or runner.bundle.classes != task.classes:
        raise InputError(
            f"the champion in {champion} answers {', '.join(runner.bundle.classes)} of {runner.bundle.task!r}, but the task is "
            f"{task.key!r} with {', '.join(task.classes)}; roll back, or release under another key"
        )
    return kind_of(task).answers(given, runner.spec, runner.probabilities)


def _finite(predictions: pd.DataFrame, schema: pa.Schema, who: str) -> pd.DataFrame:
    """Refuse a table of predictions with a score that is no number; scores are the columns of type float32."""
    scores = predictions[[field.name for field in schema if field.type == pa.float32()]].to_numpy(dtype=np.float64)
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise InputError(f"{who} answers {bad} of {len(scores)} test images with NaN; its weights are broken, fit it again")
    return predictions


def _champion(folder: Path, predictions: Path) -> dict[str, Any]:
    """Name the champion: the version is that of the release it lies in; a bundle outside a repository has version 0."""
    from panderm.serving.bundle import load_bundle

    version = folder.resolve().parent.name
    return {
        "version": int(version) if version.isdigit() else 0,
        "model_sha256": load_bundle(folder).model_sha256,
        "predictions_sha256": sha256_file(predictions),
    }


def _report(
    config: Config,
    task: Benchmark,
    card: ModelCard,
    model: Path,
    predictions: pd.DataFrame,
    figures: list[Figure],
    champion: dict[str, Any] | None,
    table: Path,
) -> dict[str, Any]:
    from panderm.models.task_model import MODEL_NAME

    first = figures[0]
    return {
        "task": task.key,
        "protocol": card.protocol,
        "views": _views(config, card),
        "classes": list(task.classes),
        **_plain(first),
        "others": {figure.metric: _plain(figure) for figure in figures[1:] if figure.scope == "overall"},
        **kind_of(task).details(task, predictions),
        "replicates": config.replicates,
        "level": config.level,
        "seed": config.seed,
        "bootstrap": config.bootstrap,
        "interval": config.interval,
        "champion": champion,
        "model_sha256": sha256_file(model / MODEL_NAME),
        "encoder_sha256": card.encoder_sha256,
        "split_sha256": card.split_sha256,
        "preprocessing_sha256": card.preprocessing_sha256,
        "predictions_sha256": sha256_file(table),
    }


def _plain(figure: Figure) -> dict[str, Any]:
    """Return a figure as JSON values; what is undefined becomes null."""
    ends = {name: getattr(figure, name) for name in ("value", "low", "high")}
    known = {name: None if math.isnan(value) else value for name, value in ends.items()}
    return {"metric": figure.metric, **known, "n": figure.n, "groups": figure.groups}


def _record(config: Config, report: dict[str, Any], test: pd.DataFrame, path: Path) -> Record:
    hashes = {name: report[f"{name}_sha256"] for name in ("model", "split", "preprocessing", "predictions")}
    return Record(
        stage=STAGE,
        key=report["task"],
        counts={"images": len(test), "groups": int(test["group"].nunique())},
        hashes={"report": sha256_file(path), **hashes},
        values={name: report[name] for name in _TOLD if name in report},
        config=config.model_dump(mode="json", exclude={"device", "batch"}),
    )
