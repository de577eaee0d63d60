"""Finetune: encoder + task -> task model, by the task's kind (``panderm.tasks``) and protocol (paper, Methods).

Writes ``model.json``, the weights, ``curves.png`` and ``record.json``, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from panderm.catalog import Benchmark
from panderm.catalog.table import Protocol
from panderm.core.files import building_folder, sha256_file
from panderm.core.record import Record
from panderm.tasks.diagnosis import Recipe as DiagnosisRecipe
from panderm.tasks.kinds import Compute, Fitted, Given, kind_of
from panderm.tasks.rows import Rows, read_rows
from panderm.tasks.screening import Recipe as TotalBodyRecipe
from panderm.tasks.screening_recipe import ScreeningRecipe
from panderm.training.change_recipe import ChangeRecipe
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe
from panderm.training.segmentation_recipe import SegmentationRecipe
from panderm.training.slides_recipe import SlidesRecipe

if TYPE_CHECKING:
    from panderm.models.encoder import EncoderCard

STAGE = "finetune"
Say = Callable[[str], None]


class Config(Compute):
    """Settings of the stage; where and how a model is fitted stands in :class:`panderm.tasks.kinds.Compute`.

    Attributes:
        protocol: ``linear_probe`` or ``fine_tuning`` of a diagnosis; null takes the catalogue's for the task, the paper's.
        linear_probe: recipe of a linear probe.
        fine_tuning: recipe of a fine-tuning; the defaults are the paper's run.
        segmentation: recipe of a segmentation.
        change: recipe of a change detection.
        total_body: recipe of a total-body screening's arms; its risk head is a diagnosis.
        slides: recipe of a classifier of whole slides.
        tasks: settings of this section for single tasks, laid over the rest: ``{ham10000: {protocol: fine_tuning}}``.
    """

    protocol: Protocol | None = None
    linear_probe: LinearProbeRecipe = LinearProbeRecipe()
    fine_tuning: FineTuneRecipe = FineTuneRecipe()
    segmentation: SegmentationRecipe = SegmentationRecipe()
    change: ChangeRecipe = ChangeRecipe()
    total_body: ScreeningRecipe = ScreeningRecipe()
    slides: SlidesRecipe = SlidesRecipe()
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def of_task(self, task: str) -> Config:
        """Return the settings with those of a single task laid over them.

        Raises:
            ConfigError: a setting of the task is unknown or out of range.
        """
        values = self.model_dump(exclude={"tasks"})
        return type(self).parse(_merge(values, self.tasks.get(task, {})), where=f"finetune.tasks.{task}")

    def recipe(self, task: Benchmark) -> Any:
        """Return the recipe of the task's kind."""
        if task.kind in ("diagnosis", "sequences"):
            return DiagnosisRecipe(self.protocol or task.protocol, self.linear_probe, self.fine_tuning)
        if task.kind == "prognosis":
            return DiagnosisRecipe("linear_probe", self.linear_probe, self.fine_tuning)
        if task.kind == "total_body":
            protocol = self.protocol or ("fine_tuning" if task.protocol == "screening_union" else task.protocol)
            risk = DiagnosisRecipe(protocol, self.linear_probe, self.fine_tuning)
            return TotalBodyRecipe(risk, self.total_body)
        return getattr(self, task.kind)


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
        InputError: split, shards or encoder are missing or damaged, or the training split cannot be learnt from.
        TrainingFailed: a fine-tuning ended before its last epoch; the same command goes on.
        ConfigError: a setting is unknown or out of range.
    """
    from panderm.models.encoder import load_card

    config = config.of_task(task.key)
    given = Given(
        task=task,
        rows=read_rows(task, split),
        split=split,
        data=data,
        encoder=encoder,
        features=features,
        work=features.parent / STAGE / task.key,
        compute=Compute.parse(config.model_dump(include=set(Compute.model_fields)), where=STAGE),
        say=on_line or print,
    )
    card = load_card(encoder)
    with building_folder(out) as folder:
        fitted = kind_of(task).fit(config.recipe(task), given, folder)
        return _finish(task, given.rows, card, fitted, folder, data)


def _finish(task: Benchmark, rows: Rows, card: EncoderCard, fitted: Fitted, folder: Path, data: Path) -> Record:
    """Write card and record beside the weights."""
    from panderm.models.task_model import MODEL_NAME
    from panderm.tasks.cards import write_card

    model = write_card(task, rows, card, fitted, folder, data)
    record = Record(
        stage=STAGE,
        key=task.key,
        counts={name: len(rows.part(name)) for name in ("train", "val")} if not task.folds else {"images": len(rows.frame)},
        hashes={
            "encoder": card.sha256,
            "split": rows.sha256,
            "weights": model.weights_sha256,
            "model": sha256_file(folder / MODEL_NAME),
            "preprocessing": model.preprocessing_sha256,
        },
        values={"protocol": fitted.protocol, **fitted.values},
        config=fitted.settings,
    )
    record.save(folder)
    return record
