"""Resume states: model, AdamW moments and step, as safetensors and JSON; whole or not at all, two deep, checked when read.

The order of samples, their crops and masks, and the generator of every step follow from (seed, step), so that no generator
has to be stored. A state that cannot be read (a torn disk, say) costs one state, never the run: the former one is used.
Tensors are stored whole, whatever the training was spread over, so that any number of processes goes on from them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from panderm.core.errors import InputError
from panderm.core.files import building_folder, read_json, sha256_file, write_json
from panderm.training.parallel import gathered, spread_as
from panderm.training.place import ALONE, Place
from panderm.training.schedule import trainable

KEPT = 2
_MODEL, _MOMENTS, _FACTS = "model.safetensors", "optimizer.safetensors", "state.json"


def save_state(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, place: Place = ALONE) -> None:
    """Write the state after ``step`` steps to ``folder/<step>``, then drop all but the newest two.

    Every process of a sharded training must call this; the first one writes.

    Raises:
        InputError: the state cannot be written (a full disk, say); the former states stay as they are.
    """
    tensors = gathered(model.state_dict().items(), keep=place.first)
    moments = gathered(_moments(model, optimizer).items(), keep=place.first)
    if not place.first:
        return
    try:
        with building_folder(folder / _name(step)) as aside:
            save_file(tensors, aside / _MODEL)
            save_file(moments, aside / _MOMENTS)
            sums = {name: sha256_file(aside / name) for name in (_MODEL, _MOMENTS)}
            write_json(aside / _FACTS, {"step": step, "sha256": sums})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot save the training's state in {folder} ({error}); make room there") from error
    for old in states(folder)[:-KEPT]:
        shutil.rmtree(old)


def states(folder: Path) -> list[Path]:
    """Return the complete states in ``folder``, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if (path / _FACTS).is_file())


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, say: Callable[[str], None], place: Place = ALONE
) -> int:
    """Load the newest readable state and return its step; 0 if there is none.

    The first process chooses, so that all go on from the same one.

    Args:
        folder: where :func:`save_state` wrote; every process reads there.
        model: gets the weights; every tensor must match.
        optimizer: gets moments and step counts.
        say: told when a state was passed over.
        place: this process.

    Raises:
        InputError: there are states, but none of them can be read, or the one chosen is not of this network.
    """
    step = _there(folder, place.agreed(_choose(folder, say) if place.first else 0))
    if step:
        _restore(folder / _name(step), model, optimizer)
    return step


def newest_step(folder: Path, say: Callable[[str], None]) -> int:
    """Return the step of the state that :func:`load_state` would load, 0 if there is none; arguments and errors as there."""
    return _there(folder, _choose(folder, say))


def _there(folder: Path, step: int) -> int:
    if step < 0:
        raise InputError(
            f"none of the states in {folder} can be read; bring one back from a copy, or remove {folder} to begin again"
        )
    return step


def _name(step: int) -> str:
    return f"{step:08d}"


def _choose(folder: Path, say: Callable[[str], None]) -> int:
    """Return the step of the newest readable state, 0 if there is no state, -1 if none of them can be read."""
    torn: list[Path] = []
    for path in reversed(states(folder)):
        if fault := _fault(path):
            say(f"state {path.name} cannot be read ({fault}); going back to the one before")
            torn.append(path)
            continue
        for other in torn:  # it will be written again; left here it would count as one of the newest two
            shutil.rmtree(other)
        return int(read_json(path / _FACTS)["step"])
    return -1 if torn else 0


def _fault(state: Path) -> str:
    """Return what is wrong with a state in a few words, empty if nothing is."""
    try:
        facts = read_json(state / _FACTS)
        if not isinstance(facts, dict) or not isinstance(facts.get("sha256"), dict) or _name(facts["step"]) != state.name:
            return f"{_FACTS} is not that of a state"
        changed = [name for name in (_MODEL, _MOMENTS) if sha256_file(state / name) != facts["sha256"].get(name)]
    except (InputError, OSError) as error:
        return str(error)
    return f"{changed[0]} is not what was written" if changed else ""


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{part}:{name}": value
        for name, parameter in trainable(model)
        for part, value in optimizer.state.get(parameter, {}).items()
    }


def _restore(state: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    tensors, parameters = model.state_dict(), dict(trainable(model))
    moments: dict[nn.Parameter, dict[str, Any]] = {}
    try:
        with safe_open(state / _MODEL, framework="pt") as stored, torch.no_grad():
            _check_names(state, set(stored.keys()), set(tensors))
            for name, tensor in tensors.items():
                tensor.copy_(spread_as(stored.get_tensor(name), tensor))
        with safe_open(state / _MOMENTS, framework="pt") as stored:
            _check_names(state, {key.partition(":")[2] for key in stored.keys()}, set(parameters))  # noqa: SIM118
            for key in stored.keys():  # noqa: SIM118 - not a mapping
                part, _, name = key.partition(":")
                like = parameters[name].detach()
                value = stored.get_tensor(key)
                moments.setdefault(parameters[name], {})[part] = spread_as(value, like) if value.ndim else value.to(like.device)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"state {state} was chosen by the first process, but cannot be read here ({error}); let all nodes share it"
        ) from error
    for parameter, of_it in moments.items():
        optimizer.state[parameter] = of_it


def _check_names(state: Path, found: set[str], needed: set[str]) -> None:
    if found != needed:
        name = min(found ^ needed)
        what = "has no" if name in needed else "has an unknown"
        raise InputError(
            f"state {state} {what} tensor {name!r}: it was written by another version of the network; go on with that version, "
            f"or remove {state.parent} to begin again"
        )
