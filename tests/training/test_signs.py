from __future__ import annotations

import numpy as np
import pytest

from panderm.training.signs import effective_rank, signs

RNG = np.random.default_rng(0)
FOUR = np.array(["tbp", "clinical"] * 2)


def test_signs__of_features_that_point_everywhere_alike() -> None:
    seen = signs(RNG.normal(size=(400, 16)).astype(np.float32), np.array(["tbp", "clinical"] * 200))
    assert seen.feature_std == pytest.approx(1, abs=0.02)
    assert seen.effective_rank == pytest.approx(16, abs=0.3)
    assert seen.neighbour_within == pytest.approx(seen.neighbour_across, abs=0.03)


def test_signs__of_one_vector() -> None:
    seen = signs(np.tile(RNG.normal(size=8).astype(np.float32), (4, 1)), FOUR)
    assert (seen.feature_std, seen.effective_rank) == (pytest.approx(0, abs=1e-6), 0)
    assert (seen.neighbour_within, seen.neighbour_across) == (pytest.approx(1), pytest.approx(1))


def test_signs__the_length_of_a_feature_says_nothing() -> None:
    features = RNG.normal(size=(6, 8)).astype(np.float32)
    longer = features * np.linspace(1, 9, 6, dtype=np.float32)[:, None]
    modalities = np.array(["tbp"] * 3 + ["clinical"] * 3)
    assert signs(longer, modalities) == pytest.approx(signs(features, modalities), abs=1e-6)


def test_signs__neighbours_are_told_apart_by_modality() -> None:
    features = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
    seen = signs(features, FOUR)
    near = 1 / np.sqrt(1.01)
    assert seen.neighbour_within == pytest.approx(near)
    assert seen.neighbour_across == pytest.approx((0.1 / np.sqrt(1.01) * 2 + 0.2 / 1.01 * 2) / 4)


def test_signs__one_modality_has_no_neighbour_across() -> None:
    assert signs(RNG.normal(size=(3, 4)).astype(np.float32), np.array(["tbp"] * 3)).neighbour_across is None
    assert signs(RNG.normal(size=(2, 4)).astype(np.float32), np.array(["tbp", "clinical"])).neighbour_within is None


def test_effective_rank__counts_directions() -> None:
    corners = np.array([[x, y, 0.0] for x in (-1, 1) for y in (-1, 1)])
    assert effective_rank(corners + 7) == pytest.approx(2)
    assert effective_rank(corners[:2] + 7) == pytest.approx(1)
