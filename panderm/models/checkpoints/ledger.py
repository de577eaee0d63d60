"""The account of a checkpoint: what becomes of every key, and what is in the way of an import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from panderm.core.errors import InputError
from panderm.models.checkpoints.moves import Move
from panderm.models.checkpoints.read import AVERAGE, Checkpoint

Fate = Literal["mapped", "made", "kept aside", "left behind", "refused", "missing"]
"""``kept aside``: stored under its own key beside ours, so that an export gives it back. ``left behind``: named, not stored.
``made``: the file has none, a value that changes nothing stands in."""

_SHOWN = 12
_PARTS = {
    "vit.patch_embed": "patch embedding",
    "vit.blocks": "blocks",
    "vit.norm": "final norm",
    "vit.norm_pre": "norm before the blocks",
    "regressor.blocks": "regressor blocks",
    "regressor.entry": "map to the regressor",
    "regressor.mask_token": "mask token",
    "head.norm": "head",
    "head.linear": "head",
    "head": "head",
    "fc_norm": "norm behind the pooling",
}


@dataclass(frozen=True)
class Row:
    """One key of the file (or, where it was made or is missing, one of ours).

    Attributes:
        key: as in the file.
        shape: of the tensor; empty for what is not a tensor, too.
        fate: what becomes of it.
        to: the name it gets, where it gets one.
        note: how or why.
        part: which part of the network it belongs to.
    """

    key: str
    shape: tuple[int, ...]
    fate: Fate
    to: str = ""
    note: str = ""
    part: str = "other"


@dataclass
class Ledger:
    """Takes the tensors of a checkpoint one by one; what is left in the end has no place here.

    Attributes:
        checkpoint: the file.
        left: tensors that were not taken yet.
        rows: what became of the others.
        notes: sentences for the user.
        problems: what stands in the way of an import, each in a few words.
        aside: tensors that are stored under their own keys.
    """

    checkpoint: Checkpoint
    left: dict[str, Tensor] = field(init=False)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    aside: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = dict(self.checkpoint.tensors)
        self.rows += [Row(key, (), "left behind", note=said) for key, said in self.checkpoint.beside.items()]
        if (average := self.checkpoint.beside.get(AVERAGE)) and self.checkpoint.wrapper:
            taken = f"the weights under {self.checkpoint.wrapper} are taken, not their average"
            self.notes.append(f"{AVERAGE} ({average}) is left behind: {taken}")
        for key, said in self.checkpoint.unknown.items():
            self._refuse(Row(key, (), "refused", note=f"unknown entry, {said}"), f"{key} is {said}")

    def take(self, moves: Iterable[Move], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        """Take the tensors of ``moves``.

        Args:
            moves: one for each tensor of ours.
            shapes: the shape of each tensor of ours.

        Returns:
            Our tensors by name, without those whose keys are missing or of another shape.
        """
        taken = {}
        moved = list(moves)
        assert {move.ours for move in moved} == set(shapes), {move.ours for move in moved} ^ set(shapes)
        for move in moved:
            if (tensor := self._one(move, shapes[move.ours])) is not None:
                taken[move.ours] = tensor
        return taken

    def _one(self, move: Move, shape: torch.Size) -> Tensor | None:
        part = part_of(move.ours)
        absent = [key for key in move.theirs if key not in self.left]
        if len(absent) == len(move.theirs) and move.otherwise is not None:
            self.rows.append(Row("", tuple(shape), "made", move.ours, move.otherwise_note, part))
            return move.otherwise(shape)
        for key in absent:
            self._refuse(Row(key, (), "missing", move.ours, part=part), f"{key} is missing")
        needed = [piece.shape for piece in move.form.split(torch.empty(shape, device="meta"))]
        parts = {key: self.left.pop(key) for key in move.theirs if key in self.left}
        wrong = [key for key, size in zip(move.theirs, needed, strict=True) if key in parts and parts[key].shape != size]
        for key, size in zip(move.theirs, needed, strict=True):
            if key in wrong:
                seen, fits = _by(parts[key].shape), _by(size)
                row = Row(key, tuple(parts[key].shape), "refused", move.ours, f"needed {fits}", part)
                self._refuse(row, f"{key} is {seen} where {fits} is needed")
            elif key in parts:
                self.rows.append(Row(key, tuple(parts[key].shape), "mapped", move.ours, move.form.note, part))
        return None if absent or wrong else move.form.join(list(parts.values()))

    def keep(self, key: str, note: str, part: str) -> None:
        """Keep a tensor aside, if the file has it."""
        if key in self.left:
            self.aside[key] = self.left.pop(key)
            self.rows.append(Row(key, tuple(self.aside[key].shape), "kept aside", key, note, part))

    def keep_all(self, prefix: str, note: str, part: str) -> None:
        """Keep aside every tensor whose key begins so."""
        for key in [key for key in self.left if key.startswith(prefix)]:
            self.keep(key, note, part)

    def leave(self, prefix: str, note: str, part: str) -> None:
        """Leave behind every tensor whose key begins so: named in the account, not stored."""
        for key in [key for key in self.left if key.startswith(prefix)]:
            self.rows.append(Row(key, tuple(self.left.pop(key).shape), "left behind", note=note, part=part))

    def set_aside(self, key: str, note: str) -> None:
        """Keep aside a tensor that was taken, where another came to stand in its place."""
        self.aside[key] = self.checkpoint.tensors[key]
        index = next(number for number, row in enumerate(self.rows) if row.key == key)
        self.rows[index] = replace(self.rows[index], fate="kept aside", to=key, note=note)

    def stop(self, key: str, problem: str, part: str) -> None:
        """Refuse a tensor whose value, not whose name, is in the way."""
        self._refuse(Row(key, tuple(self.left.pop(key).shape), "refused", note=problem, part=part), f"{key} {problem}")

    def close(self) -> None:
        """Refuse what was not taken."""
        for key in list(self.left):
            self._refuse(Row(key, tuple(self.left.pop(key).shape), "refused", note="has no place"), f"{key} has no place")

    def _refuse(self, row: Row, problem: str) -> None:
        self.rows.append(row)
        self.problems.append(problem)


def require_clean(name: str, layout: str, problems: list[str]) -> None:
    """Refuse an import that would lose or lack a tensor.

    Raises:
        InputError: there are problems; the sentence lists them.
    """
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"{name} is not imported as {layout}: {'; '.join(problems[:_SHOWN])}{more} (`panderm checkpoint inspect --keys` "
            "lists every key)"
        )


def part_of(ours: str) -> str:
    """Return which part of the network a tensor of ours belongs to, in words."""
    name = ours.removeprefix("encoder.")
    words = name.split(".")
    return _PARTS.get(".".join(words[:2])) or _PARTS.get(words[0]) or "class token and positions"


def _by(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "a scalar"
