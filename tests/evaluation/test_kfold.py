from __future__ import annotations

import numpy as np
import pytest

from panderm.core.errors import InputError
from panderm.evaluation.kfold import kfold_interval


def test_kfold__is_mean_and_196_standard_errors() -> None:
    found = kfold_interval([0.7, 0.8, 0.75, 0.85, 0.9])
    error = np.std([0.7, 0.8, 0.75, 0.85, 0.9], ddof=1) / np.sqrt(5)
    assert found.mean == pytest.approx(0.8)
    assert (found.low, found.high) == (pytest.approx(0.8 - 1.96 * error), pytest.approx(0.8 + 1.96 * error))
    assert found.folds == 5


def test_kfold__students_interval_of_five_folds_is_wider() -> None:
    paper, student = kfold_interval([1, 2, 3, 4, 5]), kfold_interval([1, 2, 3, 4, 5], student=True)
    assert (student.high - student.mean) / (paper.high - paper.mean) == pytest.approx(2.776 / 1.96, abs=1e-3)


def test_kfold__refuses_one_fold_and_names_the_one_without_a_figure() -> None:
    with pytest.raises(InputError, match="needs at least 2"):
        kfold_interval([0.7])
    with pytest.raises(InputError, match="fold 2 of 3 has no figure"):
        kfold_interval([0.7, float("nan"), 0.8])
