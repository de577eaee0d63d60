"""Which teacher? One encoder a teacher on the same corpus, all else equal, judged by probes on validation images.

The paper compares teachers before it settles for CLIP ViT-L/14 (arXiv 2410.15038, Methods and ablations).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from panderm import pretrain
from panderm.core.config import override
from panderm.core.errors import ConfigError
from panderm.core.record import Record
from panderm.models.teacher import TeacherConfig, build_teacher, fitting_size
from panderm.models.teacher_weights import FOLDER
from panderm.studies import encoders
from panderm.studies.encoders import UNTRAINED, Arm, Folders, Judging, Plan, Say, shortened
from panderm.studies.laying_out import Question, draw_ranking

if TYPE_CHECKING:
    from panderm.training.recipe import Recipe

STUDY = "teachers"


class Config(Judging):
    """What is compared, and how long each encoder trains.

    Attributes:
        teachers: ``SOURCE [KEY=VALUE ...]`` each: a ``teacher.source`` and, where needed, other settings of the teacher, e.g.
            ``ViT-B-16 weights=b16.pt`` or ``random random.seed=1``; the input size follows from the student's grid.
    """

    teachers: tuple[str, ...]


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
    shorter = shortened(training, config.epochs)
    arms = _arms(config.teachers, shorter)
    for one in arms:
        recipe = one.training.recipe()
        build_teacher(
            recipe.teacher, recipe.encoder.grid
        )  # one that is not to be had is told now, not after days of the others
    text = "The same corpus and settings, another teacher each."
    question = Question(STUDY, "Teachers compared", text, UNTRAINED, ranked=True, draw=draw_ranking)
    return encoders.run(Plan(question, arms, shorter, config), folders, on_line or print)


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
