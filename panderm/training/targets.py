"""In which precision a training's targets are computed: in one, from its first step to its last, wherever it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from panderm.core.errors import InputError
from panderm.core.files import read_json, write_json
from panderm.models.teacher import TeacherConfig
from panderm.models.teacher_tower import DTYPES, Precision, best_precision
from panderm.training.place import Place

_NAME = "targets.json"
_ALL: list[Precision] = list(DTYPES)


def agreed_precision(teacher: TeacherConfig, place: Place, work: Path, going_on: bool, say: Callable[[str], None]) -> Precision:
    """Return the precision that every process computes targets in; every process must ask.

    Where the recipe leaves it open (``auto``), the first process takes what is best on its device and notes it down; a run
    that goes on, perhaps on a machine of another kind, keeps to the note, so that its targets stay what they were.

    Args:
        teacher: the recipe's.
        place: this process.
        work: the training's folder.
        going_on: whether there is a state to go on from.
        say: told when another precision would be best here.

    Raises:
        InputError: the note cannot be written, or is none.
    """
    if teacher.precision != "auto":
        return teacher.precision
    return _ALL[place.agreed(_ALL.index(_chosen(teacher, place, work / _NAME, going_on, say)) if place.first else 0)]


def _chosen(teacher: TeacherConfig, place: Place, note: Path, going_on: bool, say: Callable[[str], None]) -> Precision:
    best = best_precision(teacher.source, place.device)
    if not (going_on and note.is_file()):
        write_json(note, {"precision": best})
        return best
    former: Precision = read_json(note)["precision"]
    if former not in _ALL:
        raise InputError(f"{note} names the precision {former!r}; allowed: {', '.join(_ALL)}; remove the file to take {best}")
    if former != best:
        kept = "in which this training began, so that its targets stay"
        say(f"the teacher goes on in {former}, {kept}; alone, {best} is best here")
    return former
