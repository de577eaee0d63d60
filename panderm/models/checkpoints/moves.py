"""One tensor of ours and the keys of theirs that it consists of, with the way there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Join = Callable[[list[Tensor]], Tensor]
Split = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Form:
    """How tensors become one of ours (``join``), and that one theirs again (``split``; also gives the shapes to expect)."""

    join: Join
    split: Split
    note: str = ""


@dataclass(frozen=True)
class Move:
    """One tensor of ours.

    Attributes:
        ours: its name.
        theirs: the keys it is made of.
        form: how.
        otherwise: what stands in where a file has none of the keys; None: they must be there.
        otherwise_note: what that means.
    """

    ours: str
    theirs: tuple[str, ...]
    form: Form
    otherwise: Callable[[torch.Size], Tensor] | None = None
    otherwise_note: str = ""


def _thirds(bias: Tensor) -> list[Tensor]:
    return list(bias.chunk(3))


def _without_key(bias: Tensor) -> Tensor:
    query, key, value = _thirds(bias)
    return torch.cat([query, torch.zeros_like(key), value])


SAME = Form(lambda parts: parts[0], lambda ours: [ours])
QUERY_VALUE = Form(
    lambda parts: torch.cat([parts[0], torch.zeros_like(parts[0]), parts[1]]),
    lambda ours: [_thirds(ours)[0], _thirds(ours)[2]],
    "fused with a zero key bias",
)
NO_KEY = Form(
    lambda parts: _without_key(parts[0]),
    lambda ours: [ours],
    "key third set to zero: a key bias shifts all scores of a query alike and cannot change the softmax",
)
TOKEN = Form(lambda parts: parts[0].reshape(1, 1, -1), lambda ours: [ours.reshape(-1)], "reshaped")
TABLE = Form(lambda parts: parts[0].unsqueeze(0), lambda ours: [ours.squeeze(0)], "reshaped")


def same(pairs: Iterable[tuple[str, str]]) -> list[Move]:
    """Return moves of (ours, theirs) pairs that differ in name alone."""
    return [Move(ours, (theirs,), SAME) for ours, theirs in pairs]


def layer(ours: str, theirs: str) -> list[Move]:
    """Return the moves of a layer's weight and bias."""
    return same((f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias"))


def undo(moves: Iterable[Move], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under their keys, in the order of the moves; every tensor of ours must have a move."""
    moved = list(moves)
    assert {move.ours for move in moved} == set(tensors), {move.ours for move in moved} ^ set(tensors)
    theirs: dict[str, Tensor] = {}
    for move in moved:
        parts = move.form.split(tensors[move.ours])
        theirs |= {key: part.contiguous() for key, part in zip(move.theirs, parts, strict=True)}
    return theirs
