"""Position tables of imported files: held against the recipe's sin-cos table, kept, resized or replaced; never in silence."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from panderm.models.checkpoints.ledger import Ledger
from panderm.models.encoder import position_table

CLOSE = 1e-5
"""Largest difference that counts as the same table; measured between ways to compute it: 9.5e-7 at most."""


def judge(table: Tensor, width: int, stored: torch.dtype | None = None) -> float:
    """Return the largest difference of a table (1, 1 + P, D) from the recipe's; infinite if its shape is another.

    Args:
        table: the file's, widened to float32.
        width: D.
        stored: the half precision that it has in the file; what rounding to it explains is no difference.
    """
    grid = math.isqrt(table.shape[1] - 1)
    ours = position_table(grid, width)
    if table.shape != ours.shape:
        return math.inf
    rounding = (ours.to(stored).float() - ours).abs() if stored else 0.0
    return float(((table - ours).abs() - rounding).clamp(min=0).max())


def note_official(ledger: Ledger, table: Tensor | None, key: str, width: int) -> None:
    """Say how an official encoder's table relates to ours; it is kept from the file either way, and frozen."""
    if table is None:
        return
    stored = ledger.checkpoint.stored.get(key)
    difference = judge(table, width, stored)
    if stored and difference <= CLOSE:
        held = f"the sin-cos table as {str(stored).removeprefix('torch.')} holds it"
        ledger.notes.append(f"{key} is {held} (largest difference {difference:.1e}); kept from the file, frozen")
    elif difference == 0:
        ledger.notes.append(f"{key} is the sin-cos table, bit for bit")
    elif difference <= CLOSE:
        ledger.notes.append(f"{key} is the sin-cos table (largest difference {difference:.1e}); kept from the file, frozen")
    else:
        ledger.notes.append(f"{key} is not the sin-cos table (largest difference {difference:.1e}); kept from the file, frozen")


def place_learnt(ledger: Ledger, table: Tensor, key: str, grid: int, positions: str) -> Tensor:
    """Return the table (1, 1 + grid^2, D) for an encoder of ours, from a learnt one (1, 1 + p^2, D).

    Args:
        ledger: gets the note, and the file's table aside where another takes its place.
        table: the file's.
        key: its key.
        grid: side of the patch grid wanted.
        positions: ``keep`` or ``sincos``.
    """
    width, side = table.shape[-1], math.isqrt(table.shape[1] - 1)
    if positions == "sincos":
        ledger.set_aside(key, "replaced by the sin-cos table")
        ledger.notes.append(f"{key} is replaced by the recipe's sin-cos table, as asked; the file's is kept aside")
        return position_table(grid, width)
    if side != grid:
        ledger.set_aside(key, "a resized copy takes its place")
        ledger.notes.append(f"{key} is resized from {side} x {side} to {grid} x {grid} (bicubic, antialiased) and frozen")
        return _resized(table, side, grid)
    ledger.notes.append(f"{key} is a learnt table; kept from the file and frozen (--positions sincos puts the recipe's there)")
    return table


def _resized(table: Tensor, side: int, grid: int) -> Tensor:
    """Resize as timm and open_clip do; the class token's row stays."""
    rows = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = interpolate(rows, size=(grid, grid), mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([table[:, :1], resized.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], dim=1)
