"""Studies of which every arm is a pretraining: one encoder an arm, all else equal, judged by probes on validation images.

A run that was finished is taken as it is and one that was interrupted goes on, so a study grows by another arm. No test image
is read here, and losses are not compared: what an arm changes may change what its loss means.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from panderm import pretrain
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, one_of
from panderm.core.files import building_folder, write_text
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.models.encoder import EncoderCard, build_untrained_encoder, save_encoder
from panderm.studies.judging import Judged, judge
from panderm.studies.laying_out import Question, markdown, write_rows

if TYPE_CHECKING:
    import pandas as pd

UNTRAINED = "untrained"
"""The arm of the very weights that every run begins with: what a pretraining has to improve on."""

Hold = Literal["images", "epochs"]
EQUAL: dict[Hold, str] = {"images": "every encoder is shown as many images", "epochs": "every encoder trains as many epochs"}
"""What is equal between arms that train on corpora of different sizes."""

Say = Callable[[str], None]


class Judging(FrozenConfig):
    """How long each encoder trains, and what it is judged on.

    Attributes:
        epochs: of the reference's run; 0 takes a tenth of the preset's, at least two (a ranking, not a final encoder).
        images: labelled images of each task, two thirds of its training split, the rest of its validation split.
        tasks: which tasks; by default every one with one label an image.
    """

    epochs: int = 0
    images: int = 1500
    tasks: tuple[str, ...] | None = None


class Arm(NamedTuple):
    """One encoder of a study.

    Attributes:
        name: in tables and pictures.
        folder: of its run.
        training: settings of its run.
        images: of the corpus that it may see; 0 where that is all of it.
    """

    name: str
    folder: str
    training: pretrain.Config
    images: int = 0


class Folders(NamedTuple):
    """Where a study reads and writes.

    Attributes:
        corpus: curate's output.
        data: published datasets.
        splits: curate's output for all tasks.
        out: gets a folder a run, and the table.
        work: resume states, logs and cached features.
    """

    corpus: Path
    data: Path
    splits: Path
    out: Path
    work: Path


class Plan(NamedTuple):
    """A study as it is to be run.

    Attributes:
        question: what it asks and how the answer looks.
        arms: the encoders to train.
        training: settings from which the arms depart.
        judging: what they are judged on.
    """

    question: Question
    arms: list[Arm]
    training: pretrain.Config
    judging: Judging


def folders_of(study: str, layout: Layout) -> Folders:
    """Return where a study of a workspace reads and writes."""
    work = layout.work / "studies" / study
    return Folders(layout.corpus, layout.data, layout.splits, layout.study(study), work)


def shortened(training: pretrain.Config, epochs: int, stretch: float = 1.0) -> pretrain.Config:
    """Return settings of a shorter training with its warm-up shortened alike.

    Args:
        training: settings of the whole one.
        epochs: how many; 0 takes a tenth, at least two.
        stretch: factor of the epochs, for a smaller corpus that shall be shown as many images.
    """
    whole = training.recipe().optimisation
    fewer = max(1, round((epochs or max(2, round(whole.epochs / 10))) * stretch))
    changes = {"epochs": fewer, "warmup_epochs": whole.warmup_epochs * fewer / whole.epochs}
    return overridden(training, "optimisation", changes)


def overridden(training: pretrain.Config, part: str, changes: dict[str, Any]) -> pretrain.Config:
    """Return settings with ``changes`` laid over one part of the recipe's overrides."""
    whole = training.overrides.get(part, {}) | changes
    return training.model_copy(update={"overrides": training.overrides | {part: whole}})


def corpus_table(folders: Folders) -> pd.DataFrame:
    """Return the corpus.

    Raises:
        InputError: it is missing or not one.
    """
    from panderm.core.tables import CORPUS, read_table

    return read_table(folders.corpus / "corpus.parquet", CORPUS)


def run(plan: Plan, folders: Folders, say: Say) -> Record:
    """Train every arm, judge each encoder, write the comparison; its record lies beside table and picture.

    Raises:
        InputError: a task has no split, or none can be probed.
        TrainingFailed: a run ended before its last step; the same command goes on.
    """
    return compare(plan, {one.name: train(plan, one.folder, folders, say) for one in plan.arms}, folders)


def train(plan: Plan, folder: str, folders: Folders, say: Say) -> Record:
    """Train one arm, or return the record of its finished run.

    Raises:
        InputError: the study has no such arm.
        TrainingFailed: the run ended before its last step; the same call goes on.
    """
    arms = {one.folder: one for one in plan.arms}
    if folder not in arms:
        raise InputError(one_of(folder, arms, f"arm of study {plan.question.study}"))
    say(f"{plan.question.study}: {arms[folder].name}")
    where = (folders.corpus, folders.data, folders.out / "runs" / folder, folders.work / folder)
    return pretrain.run(arms[folder].training, *where, on_line=say, splits=folders.splits)


def finished(plan: Plan, folders: Folders) -> dict[str, Record]:
    """Return the records of the arms that are trained under exactly these settings, by name.

    Raises:
        InputError: the arm that the others are held against is not among them, or no other is.
    """
    found: dict[str, Record] = {}
    for one in plan.arms:
        record = pretrain.finished(one.training, folders.corpus, folders.out / "runs" / one.folder)
        if record:
            found[one.name] = record
    needed = {plan.question.reference} - {UNTRAINED}
    if needed - set(found) or len(found) < 2:
        names = ", ".join(found) or "none"
        raise InputError(
            f"study {plan.question.study} compares {' and '.join(needed) or 'two arms'} with another, but trained are: "
            f"{names}; materialise the other arms"
        )
    return found


def compare(plan: Plan, records: dict[str, Record], folders: Folders) -> Record:
    """Judge the encoders of ``records`` and the untrained one, and write ``<study>.md``, ``.parquet`` and ``.png``.

    Raises:
        InputError: a task has no split, or none can be probed.
    """
    arms = [one for one in plan.arms if one.name in records]
    judged = [_judged(plan, UNTRAINED, _untrained(plan.training, folders), folders)]
    judged += [_judged(plan, one.name, folders.out / "runs" / one.folder, folders) for one in arms]
    study, optimisation = plan.question.study, plan.training.recipe().optimisation
    values = {one.name: {"k-NN": one.mean("knn"), "linear probe": one.mean("linear")} for one in judged}
    first = next(iter(records.values()))
    record = Record(
        stage=study,
        counts={"arms": len(records), "tasks": len(judged[0].tasks)},
        hashes={"corpus": first.hashes["corpus"]} | {f"encoder {name}": one.hashes["encoder"] for name, one in records.items()},
        values={"balanced_accuracy": values, "teachers": {name: one.values["teacher"] for name, one in records.items()}},
        config={"images": plan.judging.images, "preset": plan.training.preset, "epochs": optimisation.epochs},
    )
    settings = f"Preset `{plan.training.preset}`, {optimisation.epochs} epochs"
    notes = {one.name: _note(one, records[one.name]) for one in arms}
    folders.out.mkdir(parents=True, exist_ok=True)
    write_rows(judged, plan.question.reference, folders.out / f"{study}.parquet")
    write_text(folders.out / f"{study}.md", markdown(judged, plan.question, settings, notes))
    plan.question.draw(judged, folders.out / f"{study}.png")
    record.save(folders.out)
    return record


def _note(arm: Arm, record: Record) -> str:
    seen = f"{arm.images:,} images of the corpus" if arm.images else ""
    teacher = str(record.values["teacher"])
    return "; ".join(part for part in (seen, teacher if teacher.startswith("random") else "") if part)


def _untrained(training: pretrain.Config, folders: Folders) -> Path:
    recipe, place = training.recipe(), folders.out / "runs" / UNTRAINED
    encoder = build_untrained_encoder(recipe.encoder, recipe.seed)
    card = EncoderCard(
        architecture=recipe.encoder,
        preprocessing=recipe.preprocessing,
        corpus_sha256="",
        preset=training.preset,
        teacher=UNTRAINED,
        steps=0,
    )
    with building_folder(place) as folder:
        save_encoder(folder, encoder, card)
    return place


def _judged(plan: Plan, name: str, encoder: Path, folders: Folders) -> Judged:
    wanted = (folders.splits, plan.judging.tasks, plan.judging.images)
    return judge(name, encoder, *wanted, data=folders.data, cache=folders.work / "features")
