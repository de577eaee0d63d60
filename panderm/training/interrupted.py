"""What becomes of a pretraining that was interrupted, when the next one comes: docs/decisions/0006-pretraining.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from panderm.core.errors import Refused
from panderm.core.files import read_json, write_json
from panderm.training.orphans import holding

_IDENTITY = "identity.json"
_ABSENT = "(absent)"  # of a setting that the other version of this package does not know

Say = Callable[[str], None]


def belongs(place: Path, identity: dict[str, Any]) -> bool:
    """Return whether what is in ``place`` is of the training with this identity."""
    return (place / _IDENTITY).is_file() and bool(read_json(place / _IDENTITY) == identity)


def make_room(place: Path, identity: dict[str, Any], restart: bool, say: Say) -> None:
    """Decide about what an interrupted run left: go on, set it aside, throw it away, or refuse.

    Same recipe and corpus: go on, also with ``restart``, as that gives the same weights. Another corpus (a delivery came
    in between, on schedule or not): set it aside, one deep, and begin anew, so that a scheduled retraining is never stuck.
    The same corpus with another recipe: somebody changed a setting, so refuse unless ``restart`` says it was meant.

    Raises:
        Refused: a training with other settings would be lost, or is running at this moment.
        InputError: the folder cannot be written.
    """
    with holding(place):
        _decide(place, identity, restart, say)


def _decide(place: Path, identity: dict[str, Any], restart: bool, say: Say) -> None:
    former = read_json(place / _IDENTITY) if (place / _IDENTITY).is_file() else None
    if former is not None and former != identity:
        if former["corpus_sha256"] != identity["corpus_sha256"]:
            _set_aside(place, former, say)
        elif not restart:
            raise Refused(
                f"an interrupted training in {place} has other settings:\n{_differences(former, identity)}\n"
                "set them back to go on with it, or set restart=true to throw it away"
            )
        else:
            say(f"throwing away an interrupted training with other settings:\n{_differences(former, identity)}")
            clear(place)
    write_json(place / _IDENTITY, identity)


def _set_aside(place: Path, former: dict[str, Any], say: Say) -> None:
    aside = place.parent / f"{place.name}-interrupted"
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    say(f"an interrupted training on another corpus ({former['corpus_sha256'][:8]}) was set aside in {aside.name}/")


def _differences(former: dict[str, Any], now: dict[str, Any]) -> str:
    """Return one line for each setting that differs: its name, what it was and what it is now."""
    before, after = _flat(former["recipe"]), _flat(now["recipe"])
    keys = [key for key in sorted(before.keys() | after.keys()) if before.get(key, _ABSENT) != after.get(key, _ABSENT)]
    width = max((len(key) for key in keys), default=0)
    return "\n".join(f"  {key:<{width}}  {before.get(key, _ABSENT)} -> {after.get(key, _ABSENT)}" for key in keys)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def clear(place: Path) -> None:
    """Forget a training that is finished or thrown away; its log and its metrics with their timing stay until the next."""
    for name in ("states", "final"):
        shutil.rmtree(place / name, ignore_errors=True)
    (place / _IDENTITY).unlink(missing_ok=True)
