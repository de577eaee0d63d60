from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic, auroc_statistic
from panderm.evaluation.kfold import kfold_interval, mean_over_folds, told_by_fold


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


def by_fold() -> pd.DataFrame:
    """Two folds whose classifiers rank alike but mean different things by a score, and one of a single class."""
    return pd.DataFrame({"fold": [0, 0, 0, 1, 1, 1, 2], "y": [0, 1, 1, 0, 0, 1, 1], "s": [0.1, 0.3, 0.05, 0.7, 0.8, 0.9, 0.5]})


def auroc_of(part: pd.DataFrame) -> Statistic:
    return auroc_statistic(part["y"], part["s"])


def test_mean_over_folds__compares_within_folds_only_and_leaves_out_undefined_ones() -> None:
    table = by_fold()
    mean = mean_over_folds(table, auroc_of)
    assert mean(np.ones(7)) == (0.5 + 1) / 2
    assert auroc_of(table)(np.ones(7)) == pytest.approx(5 / 12)
    assert mean(np.array([1.0, 0, 0, 1, 1, 1, 1])) == 1.0, "fold 0 has one class in this replicate"
    assert np.isnan(mean(np.array([1.0, 0, 0, 1, 0, 0, 0])))


def test_told_by_fold__says_which_fold_has_no_figure() -> None:
    told = told_by_fold(by_fold(), "auroc", auroc_of, folds=3)
    assert told["auroc"] == [0.5, 1.0, None]
    assert told["reason"].startswith("fold 3 of 3 has no figure")
    whole = told_by_fold(by_fold().query("fold < 2"), "auroc", auroc_of, folds=2)
    assert whole["mean"] == 0.75
    assert whole["low"] == pytest.approx(0.75 - 1.96 * 0.25)


def test_told_by_fold__a_fold_without_a_case_keeps_its_place() -> None:
    told = told_by_fold(by_fold().query("fold != 0"), "auroc", auroc_of, folds=4)
    assert told["auroc"] == [None, 1.0, None, None]
    assert told["reason"].startswith("fold 1 of 4 has no figure")
