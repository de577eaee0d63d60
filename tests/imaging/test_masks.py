from __future__ import annotations

import numpy as np
import pytest

from panderm.imaging.masks import cleaned, overlap


def square(left: int, right: int) -> np.ndarray:
    mask = np.zeros((10, 10), dtype=bool)
    mask[left:right, left:right] = True
    return mask


def test_cleaned__keeps_the_largest_piece_and_fills_its_holes() -> None:
    mask = square(2, 9)
    mask[5, 5] = False
    mask[0, 0] = True
    np.testing.assert_array_equal(cleaned(mask), square(2, 9))
    assert not cleaned(np.zeros((4, 4), dtype=bool)).any()


def test_overlap__dice_and_jaccard() -> None:
    dice, jaccard = overlap(square(0, 4), square(2, 6))  # 16 and 16 pixels, 4 of them common
    assert dice == pytest.approx(8 / 32)
    assert jaccard == pytest.approx(4 / 28)
    assert overlap(square(0, 0), square(0, 0)) == (1.0, 1.0)
    assert overlap(square(0, 4), square(5, 9)) == (0.0, 0.0)
