"""Read a checkpoint file without running anything that is in it: safetensors, torch files (weights only), TorchScript archives.

Refused in one sentence: files that break off, that carry code, and tensors that are not finite or not of a usual type.
"""

from __future__ import annotations

import argparse
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - the error's name alone; torch raises it for files that carry code
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from panderm.core.errors import InputError
from panderm.core.files import sha256_file
from panderm.models.checkpoints.values import READ_AS

WRAPPERS = ("model", "module", "state_dict")
"""Top-level keys under which training files hold their weights (the public fine-tuning loader accepts the same three)."""

AVERAGE = "model_ema"
"""Top-level key under which training scripts keep a running average of the weights."""

OPENAI = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's own CLIP files hold among their tensors."""

_LEFT = (
    "optimizer",
    "epoch",
    "scaler",
    "args",
    "name",
    "lr_scheduler",
    "loss_scaler",
    "best_acc",
    "step",
    "max_accuracy",
    "amp",
    AVERAGE,
)
_DAMAGED = (
    *(zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(struct.error, AssertionError),  # of files in the format before torch 1.6
)
"""What torch raises for files that break off or hold something else; found by cutting and flipping bytes (tests)."""

_WIDENED = (torch.float16, torch.bfloat16)
_SHOWN = 3


@dataclass(frozen=True)
class Checkpoint:
    """A file's contents.

    Attributes:
        name: the file's name without its folder.
        sha256: of its bytes.
        tensors: by key, on the CPU, half precision widened to float32 (exact), in the file's order.
        wrapper: top-level key they lay under, empty in a flat file.
        prefix: stripped from every key (``module.`` of a parallel training), else empty.
        stored: type in the file of each tensor that was widened.
        beside: what else lies in the file and is left behind, key -> in words.
        unknown: what else lies in the file and is not known, key -> in words.
        arguments: plain values of ``args``, the settings of the training that wrote it.
    """

    name: str
    sha256: str
    tensors: dict[str, Tensor]
    wrapper: str
    prefix: str
    stored: dict[str, torch.dtype]
    beside: dict[str, str]
    unknown: dict[str, str]
    arguments: dict[str, Any]

    @property
    def openai(self) -> bool:
        """Whether it is one of OpenAI's own CLIP files: they alone carry these numbers, and have the quick GELU."""
        return any(key in self.tensors for key in OPENAI)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read ``path``.

    Raises:
        InputError: it is missing, breaks off, carries code, holds no tensors, or one that is not finite.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; name a .pth, .pt, .bin or .safetensors file")
    loaded = {str(key): value for key, value in _load(path).items()}
    wrapper = next((key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), "")
    body = loaded[wrapper] if wrapper else loaded
    tensors = {str(key): value.detach() for key, value in body.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path.name} holds no tensors ({_told(loaded)}); name a file of weights")
    others = {f"{wrapper}.{key}": value for key, value in loaded[wrapper].items()} if wrapper else {}
    others = {key: value for key, value in (others | loaded).items() if not isinstance(value, Tensor) and key != wrapper}
    prefix = "module." if all(key.startswith("module.") for key in tensors) else ""
    tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    _check(path, tensors)
    return Checkpoint(
        name=path.name,
        sha256=sha256_file(path),
        tensors={key: tensor.float() if tensor.dtype in _WIDENED else tensor for key, tensor in tensors.items()},
        wrapper=wrapper,
        prefix=prefix,
        stored={key: tensor.dtype for key, tensor in tensors.items() if tensor.dtype in _WIDENED},
        beside={str(key): _told(value) for key, value in others.items() if key in _LEFT},
        unknown={str(key): _told(value) for key, value in others.items() if key not in _LEFT},
        arguments=_arguments(loaded.get("args")),
    )


def _load(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if _is_torchscript(path):
            archive: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
            return dict(archive.state_dict())
        with torch.serialization.safe_globals(READ_AS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(_why_unpickled(path, str(error))) from error
    except (SafetensorError, *_DAMAGED) as error:
        raise InputError(f"{path.name} breaks off or is damaged ({_first_line(error)}); fetch the file again") from error
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path.name} holds {_told(loaded)}, but a dictionary of tensors is needed; save its state_dict()")
    return loaded


def _is_torchscript(path: Path) -> bool:
    """OpenAI's CLIP files are TorchScript archives; their tensors are taken, their code is never called."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _why_unpickled(path: Path, message: str) -> str:
    named = re.search(r"(?:GLOBAL|class) ([\w.]+)", message)
    if named and "nsupported" in message:
        return (
            f"{path.name} carries code ({named.group(1)}), and nothing is unpickled here; load it where you trust it and save "
            "its state_dict() alone, best as safetensors"
        )
    return f"{path.name} is not a torch or safetensors file, or breaks off; fetch the file again"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _check(path: Path, tensors: dict[str, Tensor]) -> None:
    odd = [key for key, value in tensors.items() if not _plain(value)]
    if odd:
        raise InputError(
            f"{path.name} holds tensors that are not plain float32, float16 or bfloat16 ({_few(odd)}); convert them"
        )
    sick = [key for key, value in tensors.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if sick:
        raise InputError(f"{path.name} holds values that are not finite in {_few(sick)}; take a checkpoint from before that")


def _plain(tensor: Tensor) -> bool:
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex():
        return False
    return not tensor.is_floating_point() or tensor.dtype in (*_WIDENED, torch.float32)


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _arguments(value: Any) -> dict[str, Any]:
    values = vars(value) if isinstance(value, argparse.Namespace) else value if isinstance(value, Mapping) else {}
    return {str(key): kept for key, kept in values.items() if isinstance(kept, str | int | float | bool | None)}


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary of {len(value)} entries"
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    return f"a {type(value).__name__}"
