"""Which patches the encoder does not see: block-wise (the recipe's default) or uniformly random, always exactly M of P.

A mask is drawn from the generator it is given, so that a sample's mask depends on (seed, epoch, sample) alone. Exactly M
masked in every image keeps all shapes static.

Shapes: G side of the patch grid, P = G * G patches, M masked, K = P - M kept.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from panderm.core.config import FrozenConfig

_ASPECT = 0.3  # blocks are between 0.3 and 1 / 0.3 times as high as wide (CAE family)
_TRIES = 10  # draws of one block before the next round (CAE family)
_MIN_AREA_SHARE = 16 / 196  # smallest target area of a block: 16 patches of the 14 x 14 grid (CAE family), scaled with P
_ROUNDS = 1000  # measured on 14 x 14: 6 on average, 17 at most in 2,000 masks; after these, single patches


class MaskingConfig(FrozenConfig):
    """How masks are drawn.

    Attributes:
        generator: ``block`` (the CAE family's default; which one PanDerm used is not public) or ``random``.
        ratio: share of the patches that is masked (0.5: paper, Methods).
    """

    generator: Literal["block", "random"] = "block"
    ratio: float = Field(default=0.5, gt=0, lt=1)

    def masked(self, grid: int) -> int:
        """Return M for a grid: the share of its patches, rounded down, at least one."""
        return max(1, int(grid * grid * self.ratio))


def draw_mask(config: MaskingConfig, grid: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask (P,), true where a patch is hidden, with exactly ``config.masked(grid)`` true."""
    count = config.masked(grid)
    if config.generator == "random":
        mask = np.zeros(grid * grid, dtype=bool)
        mask[rng.permutation(grid * grid)[:count]] = True
        return mask
    return _blocks(grid, count, rng).reshape(-1)


def split_mask(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of kept (K,) and masked (M,) patches, each in ascending raster order, int64."""
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _blocks(grid: int, count: int, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((grid, grid), dtype=bool)
    remaining = count
    min_area = max(1.0, _MIN_AREA_SHARE * grid * grid)
    for _ in range(_ROUNDS):
        remaining -= _one_block(mask, remaining, min_area, rng)
        if not remaining:
            return mask
    hidden = rng.permutation(np.flatnonzero(~mask))[:remaining]
    mask.reshape(-1)[hidden] = True
    return mask


def _one_block(mask: np.ndarray, remaining: int, min_area: float, rng: np.random.Generator) -> int:
    """Hide one block that adds between 1 and ``remaining`` patches; return how many it added, 0 after ten misses."""
    grid = mask.shape[0]
    for _ in range(_TRIES):
        u, v, y, x = rng.random(4)
        area = min_area + (remaining - min_area) * u  # also where fewer remain than the smallest area
        aspect = math.exp(math.log(_ASPECT) * (1 - 2 * v))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if not (0 < height < grid and 0 < width < grid):
            continue
        top, left = int(y * (grid - height + 1)), int(x * (grid - width + 1))
        block = mask[top : top + height, left : left + width]
        added = block.size - int(block.sum())
        if 0 < added <= remaining:
            block[:] = True
            return added
    return 0
