"""Resume states: model, AdamW moments and step, as safetensors and JSON; whole or not at all, two deep.

The order of samples, their crops and masks, and the generator of every step follow from (seed, step), so that no generator
has to be stored. A state that cannot be read (a torn disk, say) costs one state, never the run: the former one is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from panderm.core.errors import InputError
from panderm.core.files import building_folder, read_json, write_json
from panderm.training.schedule import trainable

KEPT = 2
_MODEL, _MOMENTS, _FACTS = "model.safetensors", "optimizer.safetensors", "state.json"


def save_state(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the state after ``step`` steps to ``folder/<step>``, then drop all but the newest two.

    Raises:
        InputError: the state cannot be written (a full disk, say); the former states stay as they are.
    """
    try:
        with building_folder(folder / f"{step:08d}") as aside:
            save_file(_on_cpu(model.state_dict()), aside / _MODEL)
            save_file(_on_cpu(_moments(model, optimizer)), aside / _MOMENTS)
            write_json(aside / _FACTS, {"step": step})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot save the training's state in {folder} ({error}); make room, then run it again") from error
    for old in states(folder)[:-KEPT]:
        shutil.rmtree(old)


def states(folder: Path) -> list[Path]:
    """Return the complete states in ``folder``, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if (path / _FACTS).is_file())


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, say: Callable[[str], None]) -> int:
    """Load the newest readable state and return its step; 0 if there is none.

    Args:
        folder: where :func:`save_state` wrote.
        model: gets the weights; every tensor must match.
        optimizer: gets moments and step counts.
        say: told when a state was passed over.
    """
    for path in reversed(states(folder)):
        try:
            step = int(read_json(path / _FACTS)["step"])
            tensors, moments = load_file(path / _MODEL), load_file(path / _MOMENTS)
        except (SafetensorError, InputError, OSError) as error:
            say(f"state {path.name} cannot be read ({error}); going back to the one before")
            continue
        model.load_state_dict(tensors, strict=True)
        _restore(model, optimizer, moments)
        return step
    return 0


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{part}:{name}": value
        for name, parameter in trainable(model)
        for part, value in optimizer.state.get(parameter, {}).items()
    }


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    parameters = dict(trainable(model))
    restored: dict[nn.Parameter, dict[str, Any]] = {}
    for key, value in moments.items():
        part, _, name = key.partition(":")
        parameter = parameters[name]
        restored.setdefault(parameter, {})[part] = value.to(parameter.device)
    for parameter, moments_of_it in restored.items():
        optimizer.state[parameter] = moments_of_it


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
