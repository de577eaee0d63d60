"""The paper's figure for tasks that are judged fold by fold: mean, SE = sd / sqrt(k), mean +- 1.96 SE."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic
from panderm.evaluation.stakes import mean_of, on_rows

Z = 1.96
"""Normal quantile of a 95 % interval (paper, Methods, Statistical analysis)."""


class KFold(NamedTuple):
    """A figure over folds (or seeds).

    Attributes:
        mean: of the folds.
        low: mean - 1.96 SE.
        high: mean + 1.96 SE.
        sd: standard deviation over folds, with k - 1.
        folds: k.
    """

    mean: float
    low: float
    high: float
    sd: float
    folds: int


def kfold_interval(values: ArrayLike, *, student: bool = False) -> KFold:
    """Return the mean of the folds' figures with its 95 % interval.

    The paper's 1.96 is for many folds: with five it covers 88 % (docs/statistics.md), and Student's quantile 95 % if the
    folds are independent, which folds that share training images are not quite.

    Args:
        values: one figure a fold, (k,), k >= 2.
        student: use Student's quantile with k - 1 degrees of freedom instead of the paper's 1.96.

    Raises:
        InputError: fewer than two folds, or a fold without a figure.
    """
    folds = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(folds) < 2:
        raise InputError(f"{len(folds)} fold has a figure, an interval over folds needs at least 2; run the other folds")
    if not np.isfinite(folds).all():
        missing = int(np.flatnonzero(~np.isfinite(folds))[0]) + 1
        raise InputError(f"fold {missing} of {len(folds)} has no figure; mend that fold, its test part may have one class only")
    mean, sd = float(folds.mean()), float(folds.std(ddof=1))
    half = (_student(len(folds)) if student else Z) * sd / math.sqrt(len(folds))
    return KFold(mean, mean - half, mean + half, sd, len(folds))


def mean_over_folds(predictions: pd.DataFrame, figure: Callable[[pd.DataFrame], Statistic]) -> Statistic:
    """Return the mean of a figure over the folds in which it is defined, as a statistic of row weights.

    Classifiers of different folds need not agree about what a probability means, so cases are held only against cases of
    their own fold.

    Args:
        predictions: a predictions table with a column ``fold``.
        figure: the figure of the rows of one fold.
    """
    number = predictions["fold"].to_numpy()
    return mean_of([on_rows(figure(predictions[number == fold]), number == fold) for fold in np.unique(number)])


def figures_by_fold(predictions: pd.DataFrame, figure: Callable[[pd.DataFrame], Statistic]) -> dict[int, float]:
    """Return a figure of each fold that has a case, by the fold's number, from 0 up; NaN where it is undefined.

    Args:
        predictions: a predictions table with a column ``fold``.
        figure: the figure of the rows of one fold.
    """
    number = predictions["fold"].to_numpy()
    parts = {int(fold): predictions[number == fold] for fold in np.unique(number)}
    return {fold: figure(part)(np.ones(len(part))) for fold, part in parts.items()}


def told_by_fold(
    predictions: pd.DataFrame, metric: str, figure: Callable[[pd.DataFrame], Statistic], folds: int
) -> dict[str, Any]:
    """Return a figure of each fold, its mean and the paper's interval over folds, as JSON values; what is undefined is null.

    Args:
        predictions: a predictions table with a column ``fold``.
        metric: name under which the folds' figures stand.
        figure: the figure of the rows of one fold.
        folds: how many there are; one without a case has no figure.
    """
    found = figures_by_fold(predictions, figure)
    values = [found.get(fold, math.nan) for fold in range(folds)]
    told: dict[str, Any] = {metric: [None if math.isnan(value) else value for value in values]}
    try:
        over = kfold_interval(values)
    except InputError as error:
        return told | {"reason": str(error)}
    return told | {"mean": over.mean, "low": over.low, "high": over.high}


def _student(folds: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, folds - 1))
