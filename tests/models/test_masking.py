from __future__ import annotations

import numpy as np
import pytest

from panderm.models.masking import MaskingConfig, draw_mask, split_mask


@pytest.mark.parametrize("generator", ["block", "random"])
@pytest.mark.parametrize("grid", [2, 4, 6, 7, 14])
def test_draw_mask__hides_exactly_the_share(generator: str, grid: int) -> None:
    config = MaskingConfig.parse({"generator": generator})
    for seed in range(100):
        assert draw_mask(config, grid, np.random.default_rng(seed)).sum() == grid * grid // 2


def test_draw_mask__the_papers_grid_hides_98() -> None:
    keep, masked = split_mask(draw_mask(MaskingConfig(), 14, np.random.default_rng(0)))
    assert len(keep) == len(masked) == 98
    assert sorted([*keep, *masked]) == list(range(196))
    assert (np.diff(keep) > 0).all()
    assert (np.diff(masked) > 0).all()


def test_draw_mask__follows_its_generator_alone() -> None:
    one, same, other = (draw_mask(MaskingConfig(), 14, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_draw_mask__blocks_are_more_connected_than_chance() -> None:
    def neighbours(generator: str) -> float:
        config = MaskingConfig.parse({"generator": generator})
        masks = [draw_mask(config, 14, np.random.default_rng(seed)).reshape(14, 14) for seed in range(50)]
        return float(np.mean([(mask[:, 1:] == mask[:, :-1]).mean() for mask in masks]))

    assert neighbours("random") == pytest.approx(0.5, abs=0.02)
    assert neighbours("block") > 0.75


def test_draw_mask__every_patch_is_hidden_at_times() -> None:
    """Blocks lie inside the grid, so that corners are hidden least; that is the generator's nature, not an accident."""
    share = np.mean([draw_mask(MaskingConfig(), 14, np.random.default_rng(seed)) for seed in range(400)], axis=0)
    assert 0.02 < share.min() < 0.2
    assert share.max() < 0.95
