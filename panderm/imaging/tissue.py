"""Where on a slide there is tissue: stain has colour, glass has none.

The steps are those of CLAM (Lu et al., 2021), which the paper names: saturation of a small picture of the slide, median
filter, fixed threshold, closing, small regions dropped and small holes filled. Numbers are CLAM's, its preset for biopsies
where that differs, since skin specimens are small. Ink, air bubbles and the slide's edge are coloured too and are not told
from tissue.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8
"""Pixels of the small picture along the side of a tile: 16 micrometres each."""

SATURATION = 8
"""Least saturation of tissue, 0..255. Otsu's threshold splits pale from dark tissue where a slide holds little glass: on
CMU-1-Small-Region it is 43 (docs/slides.md)."""

_BLUR, _CLOSE = 7, 5  # pixels; closing with CLAM's even square of 4 shifts the mask by two
_LEAST_REGION, _LEAST_HOLE = SIDE * SIDE, SIDE * SIDE  # pixels: one tile

SHARE = 0.25
"""Least share of a tile that is tissue."""


def tissue_mask(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a small picture of a slide (H, W, 3), RGB, shows tissue (H, W)."""
    saturation = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1]
    coloured = (cv2.medianBlur(saturation, _BLUR) > SATURATION).astype(np.uint8)
    closed = cv2.morphologyEx(coloured, cv2.MORPH_CLOSE, np.ones((_CLOSE, _CLOSE), np.uint8))
    tissue = closed.astype(np.bool_) & ~_small(closed, _LEAST_REGION)
    filled: NDArray[np.bool_] = tissue | _small((~tissue).astype(np.uint8), _LEAST_HOLE)
    return filled


def _small(mask: NDArray[Any], least: int) -> NDArray[np.bool_]:
    """Return the connected regions of a mask that have fewer than ``least`` pixels."""
    _, regions, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    small = facts[:, cv2.CC_STAT_AREA] < least
    small[0] = False  # what is outside of every region
    found: NDArray[np.bool_] = small[regions]
    return found


def tile_shares(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of tissue in each tile (R, C) of a mask (R x SIDE, C x SIDE)."""
    rows, columns = mask.shape[0] // SIDE, mask.shape[1] // SIDE
    shares: NDArray[np.float64] = mask.reshape(rows, SIDE, columns, SIDE).mean(axis=(1, 3))
    return shares
