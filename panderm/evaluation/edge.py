"""How far an AUROC near 1 (or 0) can be off when one of its classes is rare.

Ten positives that all rank high say little of those that would not: the tail that costs an AUROC is the part that a small class
seldom shows. Replicates of the ten differ by less than other tens would, so their interval is too sure just where the figure is
best. Here the question is turned round, as in a score interval: a truth lies within reach while the figure seen is not
unlikely *under that truth*, with the spread that an AUROC has there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Ends = tuple[float, float]

PRIOR_CASES = 10
"""How many cases of the rarer class the published spread counts for against that of the replicates; our choice. By simulation
(set it, then benchmarks/statistics_check.py) 5 is too sure with 10 positives whose scores are spread wider than the others',
and 20 too wide for 17 patients with several images each; of 400 positives it is a fortieth."""


class Pairs(NamedTuple):
    """What an AUROC compares: each positive case with each negative one."""

    positives: int
    negatives: int


def published_variance(area: float, pairs: Pairs) -> float:
    """Return the variance of an AUROC whose true value is ``area``, 0..1, if nothing is known of the scores.

    Hanley and McNeil's (The Meaning and Use of the Area under a ROC Curve, 1982) for exponential scores, with half of all cases
    in the place of either class: Newcombe's method 5 (Confidence Intervals for an Effect Size Measure Based on the Mann-Whitney
    Statistic, part 2, 2006). It does not need to be told whose scores are spread wider, and is the wider for it.
    """
    others = (pairs.positives + pairs.negatives) / 2 - 1
    together = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + others * together) / (pairs.positives * pairs.negatives)


def reach(ends: Ends, value: float, variance: float, pairs: Pairs, level: float) -> Ends:
    """Return an interval of an AUROC that holds every truth t with ``(value - t)^2 <= z^2 V(t)`` besides its own.

    V is the published variance, times what the replicates' variance is of it at ``value``, but no less than the two weighed by
    the rarer class's cases and :data:`PRIOR_CASES`. With many cases of both classes it is the replicates' alone, and the
    interval stays.

    Args:
        ends: the interval, that of the replicates; NaN stay.
        value: the AUROC on all rows, 0..1.
        variance: of the replicates.
        pairs: the cases compared.
        level: coverage.
    """
    published = published_variance(value, pairs)
    if math.isnan(ends[0]) or published <= 0:
        return ends
    seen, rarer = variance / published, min(pairs) - 1
    times = max(seen, (rarer * seen + PRIOR_CASES) / (rarer + PRIOR_CASES))
    low, above = _farthest_below(value, times, pairs, level), _farthest_below(1 - value, times, pairs, level)
    return min(ends[0], low), max(ends[1], 1 - above)


def _farthest_below(value: float, times: float, pairs: Pairs, level: float) -> float:
    """Return the least truth within reach; V is the same for t and 1 - t, so that this does for both ends."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    factor = float(norm.ppf((1 + level) / 2)) ** 2 * times
    return float(brentq(lambda truth: (value - truth) ** 2 - factor * published_variance(truth, pairs), 0.0, value))
