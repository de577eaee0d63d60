"""Which teacher? One encoder a teacher on the same corpus, all else equal, judged by probes on validation images.

The paper compares teachers before it settles for CLIP ViT-L/14 (arXiv 2410.15038, Methods and ablations). A run that was
finished is taken as it is, one that was interrupted goes on, so a study grows by naming another teacher. The loss is
not compared: each teacher's space has its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from panderm import pretrain
from panderm.core.config import FrozenConfig, override
from panderm.core.errors import ConfigError
from panderm.core.files import building_folder, write_text
from panderm.core.record import Record
from panderm.models.encoder import EncoderCard, build_untrained_encoder, save_encoder
from panderm.models.teacher import TeacherConfig, build_teacher, fitting_size
from panderm.models.teacher_weights import FOLDER
from panderm.studies.judging import Judged, judge
from panderm.studies.laying_out import draw, markdown, write_rows

if TYPE_CHECKING:
    from panderm.training.recipe import Recipe

STUDY = "teachers"
UNTRAINED = "untrained"
Say = Callable[[str], None]


class Config(FrozenConfig):
    """What is compared, and how long each encoder trains.

    Attributes:
        teachers: ``SOURCE [KEY=VALUE ...]`` each: a ``teacher.source`` and, where needed, other settings of the teacher, e.g.
            ``ViT-B-16 weights=b16.pt`` or ``random random.seed=1``; the input size follows from the student's grid.
        epochs: of each run; 0 takes a tenth of the preset's, at least two (a ranking, not a final encoder).
        images: labelled images of each task, two thirds of its training split, the rest of its validation split.
        tasks: which tasks; by default every one with one label an image.
    """

    teachers: tuple[str, ...]
    epochs: int = 0
    images: int = 1500
    tasks: tuple[str, ...] | None = None


class Arm(NamedTuple):
    """One teacher of a study.

    Attributes:
        name: as the user wrote it, without the folders of files.
        folder: of its run.
        training: settings of its run.
    """

    name: str
    folder: str
    training: pretrain.Config


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


def run(config: Config, training: pretrain.Config, folders: Folders, on_line: Say | None = None) -> Record:
    """Pretrain with each teacher, probe each encoder, write the comparison.

    Args:
        config: the study.
        training: settings of every run; its teacher is replaced.
        folders: where everything is.
        on_line: gets each line of progress; by default they are printed.

    Returns:
        The record, which lies beside ``teachers.md``, ``teachers.parquet`` and ``teachers.png``.

    Raises:
        ConfigError: no two teachers, the same one twice, or a setting that a teacher does not have.
        InputError: a teacher cannot be had or cannot fit, or a task has no split.
        TrainingFailed: a run ended before its last step; the same command goes on.
    """
    say = on_line or print
    shorter = _shortened(training, config.epochs)
    arms = _arms(config.teachers, shorter)
    for one in arms:
        recipe = one.training.recipe()
        build_teacher(
            recipe.teacher, recipe.encoder.grid
        )  # one that is not to be had is told now, not after days of the others
    judged = [_untrained(config, shorter, folders)]
    records: dict[str, Record] = {}
    for one in arms:
        say(f"teacher {one.name}")
        where = (folders.corpus, folders.data, folders.out / "runs" / one.folder, folders.work / one.folder)
        records[one.name] = pretrain.run(one.training, *where, on_line=say, splits=folders.splits)
        judged.append(_judged(config, one.name, where[2], folders))
    return _published(config, shorter, judged, records, folders.out)


def _shortened(training: pretrain.Config, epochs: int) -> pretrain.Config:
    """Return settings of a shorter training with its warm-up shortened alike."""
    whole = training.recipe().optimisation
    fewer = epochs or max(2, round(whole.epochs / 10))
    changes = {"epochs": fewer, "warmup_epochs": whole.warmup_epochs * fewer / whole.epochs}
    optimisation = training.overrides.get("optimisation", {}) | changes
    return training.model_copy(update={"overrides": training.overrides | {"optimisation": optimisation}})


def _arms(specs: tuple[str, ...], training: pretrain.Config) -> list[Arm]:
    if len(specs) < 2:
        raise ConfigError("a comparison takes at least two teachers; name each with --teacher")
    arms = [arm(spec, training) for spec in specs]
    names = [one.name for one in arms]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"teacher {twice[0]!r} is named twice; name each once, and give files names of their own")
    return arms


def arm(spec: str, training: pretrain.Config) -> Arm:
    """Return the teacher that a spec describes, at the input size that fits the student's grid unless it names one.

    What it does not name is as in the preset, so ``random`` is the preset's random teacher.

    Raises:
        ConfigError: a setting is not one of a teacher's.
        InputError: the model is unknown or cannot be a teacher.
    """
    source, *settings = spec.split()
    values = override({}, tuple(f"teacher.{setting}" for setting in settings)).get("teacher", {})
    TeacherConfig.parse(values | {"source": source}, where=f"teacher {spec!r}")  # refuses in words about this teacher
    named = _with_teacher(training, values | {"source": source})
    recipe = named.recipe()
    if "image_size" not in values:
        named = _with_teacher(training, values | {"source": source, "image_size": _size(recipe)})
    local = recipe.teacher.weights or source.startswith(FOLDER)
    name = re.sub(r"(?<=[=:])\S*/(?=[^/\s])", "", spec) if local else spec
    words = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:60]
    return Arm(name, f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:6]}", named)


def _size(recipe: Recipe) -> int:
    return fitting_size(recipe.teacher, recipe.encoder.grid)


def _with_teacher(training: pretrain.Config, teacher: dict[str, Any]) -> pretrain.Config:
    return training.model_copy(update={"overrides": training.overrides | {"teacher": teacher}})


def _untrained(config: Config, training: pretrain.Config, folders: Folders) -> Judged:
    """Judge the very weights that every run begins with: what a teacher has to improve on."""
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
    return _judged(config, UNTRAINED, place, folders)


def _judged(config: Config, name: str, encoder: Path, folders: Folders) -> Judged:
    wanted = (folders.splits, config.tasks, config.images)
    return judge(name, encoder, *wanted, data=folders.data, cache=folders.work / "features")


def _published(
    config: Config, training: pretrain.Config, judged: list[Judged], records: dict[str, Record], out: Path
) -> Record:
    values: dict[str, Any] = {one.name: {"k-NN": one.mean("knn"), "linear probe": one.mean("linear")} for one in judged}
    recipe = training.recipe()
    record = Record(
        stage=STUDY,
        counts={"teachers": len(records), "tasks": len(judged[0].tasks)},
        hashes={"corpus": next(iter(records.values())).hashes["corpus"]}
        | {f"encoder {name}": one.hashes["encoder"] for name, one in records.items()},
        values={"balanced_accuracy": values, "teachers": {name: one.values["teacher"] for name, one in records.items()}},
        config={"images": config.images, "preset": training.preset, "epochs": recipe.optimisation.epochs},
    )
    notes = {name: str(one.values["teacher"]) for name, one in records.items()}
    write_rows(judged, out / "teachers.parquet")
    write_text(out / "teachers.md", markdown(judged, notes, training.preset, recipe.optimisation.epochs))
    draw(judged, out / "teachers.png")
    record.save(out)
    return record
