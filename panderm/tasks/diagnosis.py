"""Diagnosis: one label of a closed list for each image, by linear probe or by fine-tuning (paper, Methods).

Served as an ensemble of preprocessing, encoder and head, or of preprocessing and a network of its own.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.catalog.table import Protocol
from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic
from panderm.tasks.kinds import Fitted, Given, Prepared
from panderm.tasks.rows import check_fittable, check_two_classes
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from panderm.imaging.preprocessing import Preprocessing
    from panderm.models.task_model import TaskModel
    from panderm.tasks.kinds import Ask

EXPORTED = True


class Recipe(NamedTuple):
    """What decides a diagnosis model.

    Attributes:
        protocol: linear probe or fine-tuning.
        linear_probe: recipe of a probe.
        fine_tuning: recipe of a fine-tuning.
    """

    protocol: Protocol
    linear_probe: LinearProbeRecipe
    fine_tuning: FineTuneRecipe


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:  # noqa: ARG001
    """Return the images with a label of the task."""
    labelled = rows[rows["label"].isin(task.classes)]
    if labelled.empty:
        raise InputError(
            f"{task.key}: none of its {len(rows)} images has a known label; deliver labels ({', '.join(task.classes)})"
        )
    return Prepared(labelled.assign(stratum=labelled["label"]), {"unlabelled": len(rows) - len(labelled)})


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Fit a head on frozen features, or the whole network in processes of its own."""
    check_fittable(given.task, given.rows)
    return (_probe if recipe.protocol == "linear_probe" else _tune)(recipe, given, folder)


def _probe(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    from panderm.tasks.linear_probe import fit as fit_probe
    from panderm.tasks.linear_probe import save_head
    from panderm.training.features import features
    from panderm.training.finetune_curves import draw_probe

    task, frame = given.task, given.rows.frame
    table = features(
        given.encoder,
        frame,
        given.data,
        given.features,
        batch=given.compute.feature_batch,
        what=f"features {task.key}",
    )
    targets = frame["target"].to_numpy(dtype=np.int64)
    train, val = ((frame["split"] == name).to_numpy() for name in ("train", "val"))
    probe = fit_probe(recipe.linear_probe, table[train], targets[train], len(task.classes), (table[val], targets[val]))
    given.say(f"linear probe: {probe.iterations} iterations, objective {probe.objective[0]:.4f} -> {probe.objective[-1]:.4f}")
    save_head(folder / "head.safetensors", probe)
    draw_probe(probe.objective, task.key, folder / "curves.png")
    values = {
        "penalty": probe.penalty,
        "iterations": probe.iterations,
        "objective_first": probe.objective[0],
        "objective_last": probe.objective[-1],
        "train_accuracy": float((probe.logits(table[train]).argmax(axis=1) == targets[train]).mean()),
    }
    settings = {"linear_probe": recipe.linear_probe.model_dump(mode="json")}
    return Fitted("head.safetensors", "linear_probe", settings, values)


def _tune(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    from panderm.models.encoder import load_card
    from panderm.tasks.fine_tuning import clear, train
    from panderm.tasks.rows import SPLIT_NAME
    from panderm.training.finetune_curves import draw_fine_tuning
    from panderm.training.finetune_worker import WEIGHTS_NAME, Job

    job = Job(
        recipe=recipe.fine_tuning,
        classes=given.task.classes,
        split=(given.split / SPLIT_NAME).resolve(),
        data=given.data.resolve(),
        encoder=given.encoder.resolve(),
        work=given.work.resolve(),
        **given.compute.model_dump(include={"device", "workers", "threads", "precision"}),
    )
    made = train(job, given.compute.processes, load_card(given.encoder).sha256, given.say)
    shutil.copyfile(made.weights, folder / WEIGHTS_NAME)
    draw_fine_tuning(made.lines, made.facts, given.task.key, folder / "curves.png")
    clear(given.work)
    settings = {"fine_tuning": recipe.fine_tuning.model_dump(mode="json"), "processes": given.compute.processes}
    bias = recipe.fine_tuning.relative_position_bias
    return Fitted(WEIGHTS_NAME, "fine_tuning", settings, _told(made.facts, made.lines), relative_position_bias=bias)


def _told(facts: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    history = [{"epoch": line["step"], "loss": line["loss"], "score": line["score"]} for line in lines]
    for line in history:
        line["score"] = None if np.isnan(line["score"]) else line["score"]
    return {
        **{name: facts[name] for name in ("epoch", "monitor", "score", "batch")},
        "loss_first": lines[0]["loss"],
        "loss_last": lines[-1]["loss"],
        "history": history,
    }


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return the class probabilities of the test images."""
    from panderm.evaluation.tables import predictions_frame

    test = given.rows.part("test")
    check_two_classes(given.task, test, "test")
    return predictions_frame(test, probabilities(given, test, model))


def answers(given: Given, spec: Preprocessing, ask: Ask) -> pd.DataFrame:
    """Return the class probabilities that a released model gives the test images."""
    from panderm.evaluation.tables import predictions_frame
    from panderm.imaging.batches import prepared_batches

    test = given.rows.part("test")
    what = f"champion {given.task.key}"
    batches = prepared_batches(test, given.data, spec, batch=given.compute.feature_batch, what=what)
    return predictions_frame(test, np.concatenate([ask(pixels) for pixels in batches]))


def probabilities(given: Given, test: pd.DataFrame, model: Path) -> NDArray[np.float32]:
    """Return class probabilities (N, C) of rows, by the model in a folder."""
    import torch

    from panderm.imaging.batches import prepared_batches
    from panderm.models.task_model import load_task_model
    from panderm.training.features import features

    compute, what = given.compute, f"evaluate {given.task.key}"
    loaded = load_task_model(model, given.encoder)
    if loaded.network is None:
        table = features(given.encoder, test, given.data, given.features, batch=compute.feature_batch, what=what)
        return loaded.probabilities_of_features(table)
    gpu = compute.device == "cuda" or (compute.device == "auto" and torch.cuda.is_available())
    loaded.to("cuda" if gpu else "cpu")
    if given.views > 1:
        return _by_views(given, test, loaded, what)
    batches = prepared_batches(test, given.data, loaded.card.preprocessing, batch=compute.feature_batch, what=what)
    return np.concatenate([loaded.probabilities(pixels) for pixels in batches])


def _by_views(given: Given, test: pd.DataFrame, model: TaskModel, what: str) -> NDArray[np.float32]:
    """Return the probabilities (N, C) of test-time augmentation, as many images at a time as their views fill a batch."""
    from panderm.imaging.batches import prepared_batches
    from panderm.training.tta import random_views

    batch, look = max(1, given.compute.feature_batch // given.views), partial(random_views, count=given.views, seed=given.seed)
    batches = prepared_batches(test, given.data, model.card.preprocessing, batch=batch, what=what, prepare=look)
    return np.concatenate([model.probabilities_of_views(pixels) for pixels in batches])


def schema(task: Benchmark) -> pa.Schema:
    """Return the columns of the predictions table."""
    from panderm.evaluation.tables import predictions_schema

    return predictions_schema(len(task.classes))


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return AUROC of the second class, or weighted F1 of the likeliest."""
    from panderm.evaluation.metrics import primary_of_classes

    return primary_of_classes(task.metric, predictions)


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return every other figure of a classifier."""
    from panderm.evaluation.metrics import statistics

    return {name: statistic for name, statistic in statistics(predictions).items() if name != task.metric}


def class_score(task: Benchmark, predictions: pd.DataFrame, index: int) -> dict[str, Statistic]:  # noqa: ARG001
    """Return the figures of one class against the rest."""
    from panderm.evaluation.metrics import class_statistics

    return class_statistics(predictions, index)


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:  # noqa: ARG001
    """Write confusion, ROC, precision and recall, and calibration."""
    from panderm.evaluation.plots import draw_all

    draw_all(folder, predictions, given.task.classes, given.task.key)


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the confusion counts and the classes without a test image."""
    from panderm.evaluation.metrics import confusion

    absent = [name for index, name in enumerate(task.classes) if not (predictions["target"] == index).any()]
    return {"confusion": confusion(predictions).tolist(), "absent_classes": absent}
