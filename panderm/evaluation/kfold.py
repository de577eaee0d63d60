"""The paper's figure for tasks that are judged fold by fold: mean, SE = sd / sqrt(k), mean +- 1.96 SE."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from panderm.core.errors import InputError

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


def _student(folds: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, folds - 1))
