"""What a figure rests on: a statistic that says how much of it hangs on each group.

A bootstrap learns from groups that differ. Of a figure that comes out the same whichever groups are drawn (3 of 3 melanomas
found; two models equally right) it says nothing, and neither does the number of groups of the test split: 997 patients
without a melanoma make 3 of 3 no surer. So a statistic carries its stakes (:class:`Staked`), and :mod:`intervals` makes the
interval of them where there is no spread. A statistic that does not say what it rests on has no interval there: forgotten
stakes cost an interval, never give a narrow one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panderm.evaluation.edge import Pairs
from panderm.evaluation.intervals import DIFFERENCE, SHARE, Bounds

Weight = NDArray[np.float64]
Statistic = Callable[[Weight], float]
"""Row weights of shape (N,), 0, 1, 2, ... -> a figure, or NaN where it is undefined (an AUROC of one class)."""

Codes = NDArray[np.intp]
Stakes = Callable[[Codes], NDArray[np.float64]]
"""Groups' codes 0 .. G - 1, (N,) -> the share of its range that the figure moves if a group comes out otherwise, (G,)."""

Rows = NDArray[np.bool_] | NDArray[np.intp]


@dataclass(frozen=True)
class Staked:
    """A statistic that says what it rests on.

    Attributes:
        figure: row weights (N,) -> figure.
        stakes: how much of it hangs on each group.
        bounds: least and largest value that it can take.
        pairs: the cases that it compares, if it is an AUROC: how few of a class there are, :mod:`edge` must know. A mean or a
            difference of several has none, since the variance known there is that of one.
    """

    figure: Statistic
    stakes: Stakes
    bounds: Bounds = SHARE
    pairs: Pairs | None = None

    def __call__(self, weight: Weight) -> float:
        """Return the figure of so weighted rows."""
        return self.figure(weight)


def resting_on(*parts: tuple[float, Rows]) -> Stakes:
    """Return the stakes of a figure that is made of parts.

    Args:
        parts: how much of the range is lost if all groups of the part come out otherwise, and the part's rows. A group counts
            once in each part that it has a row in, and the groups of a part count alike, however many rows they have. A
            sensitivity has one part, the positives; an AUROC has two, and either can cost all of it.
    """

    def stakes(codes: Codes) -> NDArray[np.float64]:
        found = np.zeros(int(codes.max(initial=-1)) + 1)
        for share, rows in parts:
            members = np.unique(codes[rows])
            found[members] += share / max(1, len(members))
        return found

    return stakes


def on_rows(statistic: Statistic, rows: Rows) -> Statistic:
    """Return a statistic of some rows as one of all rows, whose weights the others ignore."""

    def figure(weight: Weight) -> float:
        return statistic(weight[rows])

    def stakes(codes: Codes) -> NDArray[np.float64]:
        assert isinstance(statistic, Staked)
        inner = statistic.stakes(codes[rows])
        return np.pad(inner, (0, int(codes.max(initial=-1)) + 1 - len(inner)))

    return Staked(figure, stakes, statistic.bounds, statistic.pairs) if isinstance(statistic, Staked) else figure


def mean_of(parts: Sequence[Statistic]) -> Statistic:
    """Return the mean of those statistics that are defined on the (re)drawn rows; NaN where none is."""

    def figure(weight: Weight) -> float:
        values = np.array([part(weight) for part in parts])
        defined = values[~np.isnan(values)]
        return float(defined.mean()) if len(defined) else float("nan")

    staked = [part for part in parts if isinstance(part, Staked)]

    def stakes(codes: Codes) -> NDArray[np.float64]:
        everyone = np.ones(len(codes))
        known = [part.stakes(codes) for part in staked if not np.isnan(part(everyone))]
        return np.asarray(np.mean(known, axis=0), dtype=np.float64)

    return Staked(figure, stakes) if len(staked) == len(parts) else figure


def difference(one: Statistic, other: Statistic, *, alike: bool = False) -> Statistic:
    """Return ``one - other`` on the same rows.

    Args:
        one: what is held against the other.
        other: the other.
        alike: the two gave the same answers, so that nothing is at stake: a model differs from itself by nothing, however
            few the groups.
    """

    def figure(weight: Weight) -> float:
        return one(weight) - other(weight)

    if alike:
        return Staked(figure, resting_on(), DIFFERENCE)
    if isinstance(one, Staked) and isinstance(other, Staked):
        mine, theirs = one.stakes, other.stakes
        return Staked(figure, lambda codes: np.maximum(mine(codes), theirs(codes)), DIFFERENCE)
    return figure
