from __future__ import annotations

import numpy as np
import pytest

from panderm.evaluation.ugly_duckling import ducklings


def test_ducklings__by_hand() -> None:
    """Distances to the mean (1.5) of 0, 1, 1, 1, 1, 5: 1.5, .5, .5, .5, .5, 3.5; quartiles .5 and 1.25, fence 2.375."""
    found = ducklings(np.array([[0.0], [1], [1], [1], [1], [5]]), ["p"] * 6)
    assert found.distance == pytest.approx([1.5, 0.5, 0.5, 0.5, 0.5, 3.5])
    assert found.fence == pytest.approx(np.full(6, 2.375))
    assert list(found.stands_out) == [False] * 5 + [True]


def test_ducklings__are_judged_within_their_patient() -> None:
    near, far = np.random.default_rng(0).normal(0, 1, (20, 3)), np.random.default_rng(1).normal(100, 1, (20, 3))
    near[0] += 12
    found = ducklings(np.concatenate([near, far]), ["p"] * 20 + ["q"] * 20)
    assert list(np.flatnonzero(found.stands_out)[:1]) == [0]
    assert found.stands_out.sum() <= 3, "the other patient is far away but alike within"


def test_ducklings__of_too_few_lesions_none_stands_out() -> None:
    found = ducklings(np.array([[0.0], [0], [0], [9]]), ["p"] * 4)
    assert np.isinf(found.fence).all()
    assert not found.stands_out.any()
    assert ducklings(np.array([[0.0], [0], [0], [9]]), ["p"] * 4, multiple=0.1, least=4).stands_out.sum() == 1
