"""Learning rate by step: linear warm-up from zero, then a cosine, as the recipe defines them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn


def learning_rate(step: int, *, steps: int, warmup: int, peak: float, lowest: float) -> float:
    """Return the rate of ``step`` (0-based) of ``steps``: 0 to ``peak`` over ``warmup`` steps, then down towards ``lowest``."""
    if step < warmup:
        return peak * step / max(1, warmup - 1)
    turn = (step - warmup) / max(1, steps - warmup)
    return lowest + 0.5 * (peak - lowest) * (1 + math.cos(math.pi * turn))


def decay_groups(model: nn.Module, weight_decay: float, tokens: bool = True) -> list[dict[str, Any]]:
    """Return AdamW's two parameter groups: vectors and biases without decay, all else with it.

    Args:
        model: what is trained.
        weight_decay: of the first group.
        tokens: whether class and mask token, (1, 1, D), count as matrices, as they do in the official code.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in trainable(model):
        token = name.endswith(("cls_token", "mask_token"))
        (plain if parameter.ndim <= 1 or (token and not tokens) else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the named parameters that are trained, in the module's order."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter
