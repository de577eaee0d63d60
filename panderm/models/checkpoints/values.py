"""What training files hold besides tensors, read as plain values: arguments, numpy's numbers, paths.

torch's reader for weights calls nothing but what it is given here, under the names that the file has for it. Neither numpy nor
the file system is reached by what a file says; a name that is not listed makes the file one that carries code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

_NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
"""numpy's codes of plain numbers; the official schedules are ``f8`` arrays, so an optimiser's rates are of that type."""


class _NumberType:
    """Stands for ``numpy.dtype``: the kind of one number and the order of its bytes."""

    def __init__(self, code: str, *_how: Any) -> None:
        if code not in _NUMBERS:
            raise ValueError(f"{code!r} is no kind of plain number")
        self.code = code

    def __setstate__(self, state: Any) -> None:
        self.order = {">": ">"}.get(state[1], "<")


def _number(kind: _NumberType, stored: bytes) -> bool | int | float:
    """Stand for numpy's ``scalar``: return the number that is stored in a few bytes."""
    value: bool | int | float = np.frombuffer(stored, np.dtype(kind.order + kind.code), count=1)[0].item()
    return value


def _posix(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _windows(*parts: str) -> str:
    return str(PureWindowsPath(*parts))


READ_AS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    (_NumberType, "numpy.dtype"),
    (_number, "numpy._core.multiarray.scalar"),
    (_number, "numpy.core.multiarray.scalar"),  # numpy 1, with which the official files were written
    (_posix, "pathlib.PosixPath"),
    (_posix, "pathlib._local.PosixPath"),  # Python 3.13
    (_windows, "pathlib.WindowsPath"),
    (_windows, "pathlib._local.WindowsPath"),
]
"""What is called for which name in a file, as ``torch.serialization.safe_globals`` takes it."""
