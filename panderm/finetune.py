"""Finetune: encoder + task -> task model, by linear probe or by fine-tuning (PanDerm arXiv 2410.15038, Methods).

Writes ``model.json``, ``head.safetensors`` or ``network.safetensors``, ``curves.png`` and ``record.json``, whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from panderm.catalog import Benchmark
from panderm.catalog.table import Protocol
from panderm.core.config import FrozenConfig
from panderm.core.files import building_folder
from panderm.core.record import Record
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe

if TYPE_CHECKING:
    from panderm.models.encoder import EncoderCard
    from panderm.tasks.diagnosis import Rows

STAGE = "finetune"
Say = Callable[[str], None]


class Config(FrozenConfig):
    """Settings of the stage.

    Attributes:
        protocol: ``linear_probe`` or ``fine_tuning``; null takes the catalogue's for the task, which is the paper's.
        linear_probe: recipe of a linear probe.
        fine_tuning: recipe of a fine-tuning; the defaults are the paper's run.
        tasks: settings of this section for single tasks, laid over the rest: ``{ham10000: {protocol: fine_tuning}}``.
        feature_batch: images a forward pass of the frozen encoder.
        processes: fine-tuning processes, one a GPU; the batch is shared among them.
        device: ``auto`` takes GPUs where there are any.
        workers: loading processes of each fine-tuning process (0: right for a task whose images fit in memory).
        threads: of torch in each process on a CPU; 0 shares the cores.
        precision: ``auto`` is bfloat16 autocast on a GPU and float32 on a CPU.
    """

    protocol: Protocol | None = None
    linear_probe: LinearProbeRecipe = LinearProbeRecipe()
    fine_tuning: FineTuneRecipe = FineTuneRecipe()
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    feature_batch: int = Field(default=64, ge=1)
    processes: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def of_task(self, task: str) -> Config:
        """Return the settings with those of a single task laid over them.

        Raises:
            ConfigError: a setting of the task is unknown or out of range.
        """
        values = self.model_dump(exclude={"tasks"})
        return type(self).parse(_merge(values, self.tasks.get(task, {})), where=f"finetune.tasks.{task}")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merge(result[key], value) if nested else value
    return result


def run(
    config: Config,
    task: Benchmark,
    split: Path,
    data: Path,
    encoder: Path,
    features: Path,
    out: Path,
    on_line: Say | None = None,
) -> Record:
    """Fit the task's model.

    Args:
        config: settings.
        task: a runnable benchmark.
        split: curate's output folder for the task.
        data: the published datasets.
        encoder: pretrain's output folder.
        features: the feature cache; resume states of a fine-tuning go beside it, to ``finetune/<task>``.
        out: the model folder (docs/architecture.md), replaced whole.
        on_line: gets each line of progress; by default they are printed.

    Raises:
        InputError: split, shards or encoder are missing or damaged, or the training split has fewer than two classes.
        TrainingFailed: a fine-tuning ended before its last epoch; the same command goes on.
        ConfigError: a setting is unknown or out of range.
    """
    from panderm.models.encoder import load_card
    from panderm.tasks.diagnosis import check_fittable, read_rows

    config = config.of_task(task.key)
    rows = read_rows(task, split)
    check_fittable(task, rows)
    card = load_card(encoder)
    say = on_line or print
    if (config.protocol or task.protocol) == "linear_probe":
        return _probe(config, task, rows, data, encoder, card, features, out, say)
    return _tune(config, task, rows, split, data, encoder, card, features.parent / STAGE / task.key, out, say)


def _probe(
    config: Config,
    task: Benchmark,
    rows: Rows,
    data: Path,
    encoder: Path,
    card: EncoderCard,
    cache: Path,
    out: Path,
    say: Say,
) -> Record:
    from panderm.tasks.linear_probe import fit
    from panderm.training.features import features
    from panderm.training.finetune_curves import draw_probe

    table = features(encoder, rows.frame, data, cache, batch=config.feature_batch, what=f"features {task.key}")
    targets = rows.frame["target"].to_numpy(dtype=np.int64)
    train, val = ((rows.frame["split"] == name).to_numpy() for name in ("train", "val"))
    probe = fit(config.linear_probe, table[train], targets[train], len(task.classes), (table[val], targets[val]))
    say(f"linear probe: {probe.iterations} iterations, objective {probe.objective[0]:.4f} -> {probe.objective[-1]:.4f}")
    with building_folder(out) as folder:
        weights = folder / "head.safetensors"
        _write_head(weights, probe.weight, probe.bias)
        draw_probe(probe.objective, task.key, folder / "curves.png")
        settings = {"linear_probe": config.linear_probe.model_dump(mode="json")}
        values = {
            "penalty": probe.penalty,
            "iterations": probe.iterations,
            "objective_first": probe.objective[0],
            "objective_last": probe.objective[-1],
            "train_accuracy": float((probe.logits(table[train]).argmax(axis=1) == targets[train]).mean()),
        }
        return _finish(task, rows, card, "linear_probe", weights, settings, values, folder)


def _write_head(path: Path, weight: Any, bias: Any) -> None:
    from safetensors.numpy import save_file

    from panderm.core.files import writing

    with writing(path) as aside:
        save_file({"weight": weight, "bias": bias}, aside, metadata={"format": "pt"})


def _tune(
    config: Config,
    task: Benchmark,
    rows: Rows,
    split: Path,
    data: Path,
    encoder: Path,
    card: EncoderCard,
    work: Path,
    out: Path,
    say: Say,
) -> Record:
    from panderm.tasks.diagnosis import SPLIT_NAME
    from panderm.tasks.fine_tuning import clear, train
    from panderm.training.finetune_curves import draw_fine_tuning
    from panderm.training.finetune_worker import WEIGHTS_NAME, Job

    job = Job(
        recipe=config.fine_tuning,
        classes=task.classes,
        split=(split / SPLIT_NAME).resolve(),
        data=data.resolve(),
        encoder=encoder.resolve(),
        work=work.resolve(),
        **config.model_dump(include={"device", "workers", "threads", "precision"}),
    )
    made = train(job, config.processes, card.sha256, say)
    with building_folder(out) as folder:
        weights = folder / WEIGHTS_NAME
        shutil.copyfile(made.weights, weights)
        draw_fine_tuning(made.lines, made.facts, task.key, folder / "curves.png")
        settings = {"fine_tuning": config.fine_tuning.model_dump(mode="json"), "processes": config.processes}
        record = _finish(task, rows, card, "fine_tuning", weights, settings, _told(made.facts, made.lines), folder)
    clear(work)
    return record


def _told(facts: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    history = [{"epoch": line["step"], "loss": line["loss"], "score": line["score"]} for line in lines]
    for line in history:
        line["score"] = None if np.isnan(line["score"]) else line["score"]
    return {
        "epoch": facts["epoch"],
        "monitor": facts["monitor"],
        "score": facts["score"],
        "batch": facts["batch"],
        "loss_first": lines[0]["loss"],
        "loss_last": lines[-1]["loss"],
        "history": history,
    }


def _finish(
    task: Benchmark,
    rows: Rows,
    card: EncoderCard,
    protocol: Protocol,
    weights: Path,
    settings: dict[str, Any],
    values: dict[str, Any],
    folder: Path,
) -> Record:
    """Write card and record beside the weights."""
    from panderm.core.files import sha256_file
    from panderm.models.task_model import MODEL_NAME, ModelCard, save_card

    model = ModelCard(
        task=task.key,
        protocol=protocol,
        classes=task.classes,
        preprocessing=card.preprocessing,
        architecture=card.architecture,
        relative_position_bias=bool(settings.get("fine_tuning", {}).get("relative_position_bias", False)),
        encoder_sha256=card.sha256,
        weights=weights.name,
        weights_sha256=sha256_file(weights),
        split_sha256=rows.sha256,
        config=settings,
        licence=card.licence,
    )
    save_card(folder, model)
    record = Record(
        stage=STAGE,
        key=task.key,
        counts={name: len(rows.part(name)) for name in ("train", "val")},
        hashes={
            "encoder": card.sha256,
            "split": rows.sha256,
            "weights": model.weights_sha256,
            "model": sha256_file(folder / MODEL_NAME),
            "preprocessing": model.preprocessing_sha256,
        },
        values={"protocol": protocol, **values},
        config=settings,
    )
    record.save(folder)
    return record
