"""Is one model better than another on the same cases? Permutation and paired t-tests, both clustered by patient.

Both tests take the two models' cases in one statistic: rows 0 .. N-1 are the first model's, rows N .. 2N-1 the second's,
in the same order. A weight of 1 or 0 chooses whose answer to a case counts, so every figure that a bootstrap can be made
of can be permuted as well, and an AUROC is sorted once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from panderm.evaluation.bootstrap import Statistic, Unit, drawn_together, jackknife

PERMUTATIONS = 1000
"""Permutations of a pairwise test (paper, Methods, Statistical analysis)."""

_TIE = 1e-12  # a permuted difference this close to the observed one is as large; sums in another order differ by less


class Permutation(NamedTuple):
    """Result of a permutation test.

    Attributes:
        difference: first minus second on the cases as they are.
        p: two-sided, (b + 1) / (n + 1), b the permutations whose difference is at least as large; NaN if undefined.
        permutations: n.
    """

    difference: float
    p: float
    permutations: int


class TTest(NamedTuple):
    """Result of a two-sided t-test.

    Attributes:
        difference: mean difference.
        low: lower end of its interval.
        high: upper end of its interval.
        t: test statistic.
        p: two-sided; NaN where there are fewer than two pairs or every difference is the same and not 0.
        n: pairs.
    """

    difference: float
    low: float
    high: float
    t: float
    p: float
    n: int


def permutation_test(
    both: Statistic,
    groups: ArrayLike,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    unit: Unit = "clustered",
) -> Permutation:
    """Test that two models are as good by exchanging their answers, all answers of a group together.

    Under the null a group's answers could as well have come from the other model. Adding 1 to both sides of the fraction
    makes the p-value valid at any number of permutations (Phipson and Smyth, 2010).

    Args:
        both: weights (2N,) -> figure, the first model's rows then the second's; see the module's text.
        groups: what is exchanged together, (N,): patient, else lesion, else image.
        permutations: number of random exchanges.
        seed: of the exchanges.
        unit: ``plain`` exchanges each case on its own, as the paper does.
    """
    codes = drawn_together(groups, unit)
    observed = _difference(both, np.ones(len(codes)))
    if math.isnan(observed):
        return Permutation(observed, math.nan, permutations)
    generator = np.random.default_rng(seed)
    count = int(codes.max(initial=-1)) + 1
    larger = 0
    for _ in range(permutations):
        keep = generator.integers(0, 2, size=count).astype(np.float64)[codes]
        larger += abs(_difference(both, keep)) >= abs(observed) - _TIE
    return Permutation(observed, (larger + 1) / (permutations + 1), permutations)


def _difference(both: Statistic, keep: NDArray[np.float64]) -> float:
    return both(np.concatenate([keep, 1 - keep])) - both(np.concatenate([1 - keep, keep]))


def paired_t(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> TTest:
    """Return the paired two-sided t-test of two rows of figures: folds, readers, classes or cases.

    Args:
        first: (n,).
        second: (n,), in the same order; pairs with a NaN are left out.
        level: coverage of the difference's interval.
    """
    from scipy.stats import ttest_rel

    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    known = ~(np.isnan(one) | np.isnan(two))
    one, two = one[known], two[known]
    steps = one - two
    mean = float(steps.mean()) if len(steps) else math.nan
    if len(steps) < 2:
        return TTest(mean, math.nan, math.nan, math.nan, math.nan, len(steps))
    if np.ptp(steps) < _TIE:  # no spread: t is 0 or infinite
        same = abs(mean) < _TIE
        return TTest(mean, mean, mean, 0.0 if same else math.nan, 1.0 if same else math.nan, len(steps))
    found = ttest_rel(one, two)
    low, high = found.confidence_interval(level)
    return TTest(mean, float(low), float(high), float(found.statistic), float(found.pvalue), len(steps))


def pseudo_value_t(both: Statistic, groups: ArrayLike, *, unit: Unit = "clustered", seed: int = 0) -> TTest:
    """Return the paired t-test of two models over cases, for any figure, by Tukey's jackknife pseudo-values.

    A pseudo-value is what a group (of many groups: a block of them) adds to the figure. For a mean over cases, such as
    accuracy or Dice, plain pseudo-values are the cases themselves and the test is the ordinary paired t-test.

    Args:
        both: as in :func:`permutation_test`.
        groups: what stays together, (N,).
        unit: ``plain`` takes every case for itself.
        seed: of the blocks.
    """
    codes = drawn_together(groups, unit)
    rows, nothing = len(codes), np.zeros(len(codes))

    def pseudo_values(one: Statistic) -> NDArray[np.float64]:
        left_out = jackknife(one, codes, seed)
        return len(left_out) * one(np.ones(rows)) - (len(left_out) - 1) * left_out

    first = pseudo_values(lambda weight: both(np.concatenate([weight, nothing])))
    second = pseudo_values(lambda weight: both(np.concatenate([nothing, weight])))
    if np.isnan(first).any() or np.isnan(second).any():
        return TTest(math.nan, math.nan, math.nan, math.nan, math.nan, len(first))
    return paired_t(first, second)
