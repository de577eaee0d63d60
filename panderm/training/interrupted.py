"""What becomes of a pretraining that was interrupted, when the next one comes: docs/decisions/0006-pretraining.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from panderm.core.config import FrozenConfig
from panderm.core.errors import Refused
from panderm.core.files import read_json, write_json
from panderm.training.orphans import holding, reap
from panderm.training.sampling import Sampling

_IDENTITY = "identity.json"
_CHANGES = "changes"  # key in it, beside those of the identity itself
_ABSENT = "(absent)"  # of a setting that the other version of this package does not know

_MAY_CHANGE = ("optimisation.", "augmentation.", "masking.", "sampling.", "drop_path", "regressor.drop_path", "seed")
"""Beginnings of the settings under which a state can go on: they shape no tensor of it."""

_HOLDS = ("optimisation.batch",)
"""Settings among them that cannot change all the same: steps are counted in batches, and so are the images seen."""

Identity = dict[str, Any]
Otherwise = Literal["refuse", "proceed", "restart"]
"""What to do about an interrupted run of the same corpus with other settings."""
Say = Callable[[str], None]


class Change(FrozenConfig):
    """Settings that were changed on the way.

    Attributes:
        after_step: the last step under the former ones.
        settings: what each was and what it is, by key of the recipe.
        sampling: what of the corpus was shown until then (section of the recipe).
        seed: with it.
    """

    after_step: int
    settings: dict[str, tuple[Any, Any]]
    sampling: dict[str, Any]
    seed: int


Changes = tuple[Change, ...]


def belongs(place: Path, identity: Identity) -> bool:
    """Return whether what is in ``place`` is of the training with this identity."""
    return _former(place)[0] == identity


def make_room(place: Path, identity: Identity, otherwise: Otherwise, say: Say) -> Changes:
    """Decide about what an interrupted run left: go on, set it aside, throw it away, or refuse.

    Same recipe and corpus: go on, also with ``restart``, as that gives the same weights. Another corpus (a delivery came
    in between, on schedule or not): set it aside, one deep, and begin anew, so that a scheduled retraining is never stuck.
    The same corpus with another recipe: somebody changed a setting, so refuse unless ``otherwise`` says what was meant.

    Returns:
        What was changed on the way of the run that goes on now, in its order.

    Raises:
        Refused: a training with other settings would be lost, its state does not fit the new ones, or it is running.
        InputError: the folder cannot be written, or none of the states in it can be read.
    """
    with holding(place):
        reap(place, say=say)  # a killed training that is still saving its state would save it into the room made here
        former, changes = _former(place)
        if former is not None and former != identity:
            changes = _decided(place, former, changes, identity, otherwise, say)
        elif changes:
            changes = _held(place, changes, say)
        write_json(place / _IDENTITY, _stored(identity, changes))
    return changes


def _former(place: Path) -> tuple[Identity | None, Changes]:
    if not (place / _IDENTITY).is_file():
        return None, ()
    identity = read_json(place / _IDENTITY)
    changes = identity.pop(_CHANGES, [])
    return identity, tuple(Change.parse(change, where=str(place / _IDENTITY)) for change in changes)


def _stored(identity: Identity, changes: Changes) -> Identity:
    return identity | ({_CHANGES: [change.model_dump(mode="json") for change in changes]} if changes else {})


def _decided(place: Path, former: Identity, changes: Changes, identity: Identity, otherwise: Otherwise, say: Say) -> Changes:
    """Deal with an interrupted run of another identity, and return the changes that go on."""
    if former["corpus_sha256"] != identity["corpus_sha256"]:
        _set_aside(place, former, say)
        return ()
    differing = _differing(former["recipe"], identity["recipe"])
    if otherwise == "proceed":
        return _proceed(place, former["recipe"], changes, differing, say)
    if otherwise == "restart":
        say(f"throwing away an interrupted training with other settings:\n{_lines(differing)}")
        clear(place)
        return ()
    raise Refused(
        f"an interrupted training in {place} has other settings:\n{_lines(differing)}\n"
        "set them back to go on with it, set proceed=true to go on from its state under the new ones, or set restart=true to "
        "throw it away"
    )


def _set_aside(place: Path, former: Identity, say: Say) -> None:
    aside = place.parent / f"{place.name}-interrupted"
    shutil.rmtree(aside, ignore_errors=True)
    place.rename(aside)
    say(f"an interrupted training on another corpus ({former['corpus_sha256'][:8]}) was set aside in {aside.name}/")


def _proceed(place: Path, recipe: dict[str, Any], changes: Changes, differing: dict[str, tuple[Any, Any]], say: Say) -> Changes:
    """Go on from the newest state under other settings; without any state, begin anew."""
    unfit = {key: values for key, values in differing.items() if not key.startswith(_MAY_CHANGE) or key in _HOLDS}
    if unfit:
        raise Refused(
            f"the state of the interrupted training in {place} does not fit other values of these settings, which decide its "
            f"tensors, its targets or what a step is:\n{_lines(unfit)}\nset them back, or set restart=true to throw it away"
        )
    step = _newest_step(place, say)
    if not step:
        clear(place)
        return ()
    say(f"going on after step {step} with other settings:\n{_lines(differing)}")
    shutil.rmtree(place / "final", ignore_errors=True)  # of a training that was to end there
    change = Change(after_step=step, settings=differing, sampling=recipe.get("sampling", {}), seed=recipe["seed"])
    return _with(changes, change)


def _with(changes: Changes, change: Change) -> Changes:
    """Return changes and one more; those after which no step was kept come to one with it."""
    kept = tuple(one for one in changes if one.after_step < change.after_step)
    void = changes[len(kept) :]
    if not void:
        return (*kept, change)
    settings: dict[str, tuple[Any, Any]] = {}
    for one in (*void, change):
        settings |= {key: (settings.get(key, values)[0], values[1]) for key, values in one.settings.items()}
    settings = {key: values for key, values in settings.items() if values[0] != values[1]}
    first = void[0].model_copy(update={"after_step": change.after_step, "settings": settings})
    return (*kept, first) if settings else kept


def _held(place: Path, changes: Changes, say: Say) -> Changes:
    """Return changes as they hold for the state there is, which is an earlier one where the newest was torn."""
    step = _newest_step(place, say)
    held: Changes = ()
    for change in changes:
        held = _with(held, change.model_copy(update={"after_step": min(change.after_step, step)}))
    return tuple(change for change in held if change.after_step)


def _newest_step(place: Path, say: Say) -> int:
    from panderm.training.state import newest_step

    return newest_step(place / "states", say)


def _differing(former: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ: what each was and what it is now, by name."""
    unsaid = {"sampling": Sampling().model_dump(mode="json")}  # which is not written where all of it is the default
    before, after = _flat(unsaid | former), _flat(unsaid | now)
    pairs = {key: (before.get(key, _ABSENT), after.get(key, _ABSENT)) for key in sorted(before.keys() | after.keys())}
    return {key: values for key, values in pairs.items() if values[0] != values[1]}


def _lines(differing: dict[str, tuple[Any, Any]]) -> str:
    """Return one line for each setting that differs."""
    width = max((len(key) for key in differing), default=0)
    return "\n".join(f"  {key:<{width}}  {was} -> {now}" for key, (was, now) in differing.items())


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
