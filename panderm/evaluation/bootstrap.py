"""Bootstrap intervals, clustered by patient or plain, and the two primary metrics as statistics of row weights.

A replicate draws whole groups (patients) with replacement. It is handed to the statistic as a weight a row: how often
the row's group was drawn. That says the same as re-indexing the rows and needs no copy of them, so 1,000 replicates of
an AUROC on 2,000 rows take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from panderm.evaluation.edge import Pairs, reach
from panderm.evaluation.intervals import (
    DIFFERENCE,
    METHOD,
    SHARE,
    Bounds,
    Interval,
    Method,
    percentile_ends,
    replicates_variance,
    studentised_ends,
)
from panderm.evaluation.stakes import Staked, Statistic, Weight, difference, resting_on

__all__ = [
    "LEVEL",
    "METHOD",
    "REPLICATES",
    "Interval",
    "Method",
    "Statistic",
    "Unit",
    "Weight",
    "auroc",
    "auroc_statistic",
    "by_index",
    "cluster_bootstrap",
    "drawn_together",
    "jackknife",
    "paired_bootstrap",
    "replicate_weights",
    "weighted_f1",
    "weighted_f1_statistic",
]

Unit = Literal["clustered", "plain"]
"""What a replicate draws: whole groups (patients), or single rows as the paper does."""

REPLICATES = 1000
"""Bootstrap replicates (paper, Methods, Statistical analysis)."""

LEVEL = 0.95
"""Coverage of an interval (paper, Methods, Statistical analysis)."""

BLOCKS = 400
"""Most values of a jackknife: 399 degrees of freedom put Student's quantile within 0.3 % of the normal's."""

_PATIENCE = 10  # draws a wanted replicate; above it the statistic is too seldom defined for an interval


def cluster_bootstrap(
    statistic: Statistic,
    groups: ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = METHOD,
    bounds: Bounds | None = None,
) -> Interval:
    """Return ``statistic`` on all rows with its interval over replicates that draw whole groups.

    Every row its own group is the plain bootstrap (:func:`drawn_together`). A replicate on which the statistic is
    undefined (NaN) is drawn again and counted in ``redrawn``; when more than nine in ten are undefined the ends are NaN.
    The same groups and seed draw the same replicates, whatever the statistic.

    Args:
        statistic: row weights (N,) -> figure; see :func:`by_index` for one that takes row indices. One that is not
            :class:`Staked` has no interval where the replicates do not differ.
        groups: what stays together, of shape (N,): patient, else lesion, else image.
        replicates: number of replicates.
        seed: seed of the draw.
        level: coverage, between 0 and 1.
        method: how the ends are made of the replicates; ``percentile`` to match the paper.
        bounds: least and largest value of the statistic, for ``studentised``; None takes its own, else 0 and 1. A figure
            found outside needs none.
    """
    codes, count = _codes(groups)
    value = statistic(np.ones(len(codes))) if len(codes) else float("nan")
    if np.isnan(value):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn, redrawn = _replicates(statistic, codes, count, replicates, seed)
    ends = (float("nan"), float("nan"))
    if len(drawn) == replicates:
        if method == "percentile":
            ends = percentile_ends(drawn, level)
        else:
            staked = statistic if isinstance(statistic, Staked) else None
            within = bounds or (staked.bounds if staked else SHARE)
            stakes = staked.stakes(codes) if staked else None
            ends = studentised_ends(value, drawn, jackknife(statistic, groups, seed), count, level, within, stakes)
            if staked and staked.pairs and count > 1:
                ends = reach(ends, value, replicates_variance(drawn, count), staked.pairs, level)
    return Interval(float(value), *ends, redrawn)


def _replicates(
    statistic: Statistic, codes: NDArray[np.intp], count: int, replicates: int, seed: int
) -> tuple[NDArray[np.float64], int]:
    """Return the wanted number of defined replicates, or fewer if patience ran out, and how many were undefined."""
    drawn: list[float] = []
    redrawn = 0
    for weight in _draws(codes, count, replicates * _PATIENCE, seed):
        figure = statistic(weight)
        if np.isnan(figure):
            redrawn += 1
            continue
        drawn.append(figure)
        if len(drawn) == replicates:
            break
    return np.array(drawn), redrawn


def paired_bootstrap(
    challenger: Statistic,
    champion: Statistic,
    groups: ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
    method: Method = METHOD,
    alike: bool = False,
) -> Interval:
    """Return ``challenger - champion`` with its interval; both are computed on the same rows in each replicate.

    The pairing takes out what makes a test image hard for both, so the interval is narrower than that of two
    separate figures. Arguments as in :func:`cluster_bootstrap` and :func:`difference`; both statistics weigh the same rows.
    """
    gap = difference(challenger, champion, alike=alike)
    return cluster_bootstrap(gap, groups, replicates=replicates, seed=seed, level=level, method=method, bounds=DIFFERENCE)


def drawn_together(groups: ArrayLike, unit: Unit) -> NDArray[np.intp]:
    """Return what a replicate draws together, (N,): the groups' codes, or every row for itself if ``unit`` is plain."""
    codes, _ = _codes(groups)
    return codes if unit == "clustered" else np.arange(len(codes))


def jackknife(statistic: Statistic, groups: ArrayLike, seed: int = 0, blocks: int = BLOCKS) -> NDArray[np.float64]:
    """Return the statistic with each group left out, or, of many groups, each of ``blocks`` random blocks of them; (B,)."""
    codes, count = _codes(groups)
    block = np.arange(count) % min(blocks, count)
    if count > blocks:
        block = np.random.default_rng(seed).permutation(block)
    member = block[codes]
    return np.array([statistic((member != left).astype(np.float64)) for left in range(min(blocks, count))])


def replicate_weights(groups: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Weight]:
    """Yield the row weights (N,) of each replicate, for statistics that are wanted several at a time."""
    codes, count = _codes(groups)
    yield from _draws(codes, count, replicates, seed)


def by_index(statistic: Callable[[NDArray[np.intp]], float]) -> Statistic:
    """Return the weighted form of a statistic that takes row indices, repeats included."""
    return lambda weight: statistic(np.repeat(np.arange(len(weight)), weight.astype(np.intp)))


def _codes(groups: ArrayLike) -> tuple[NDArray[np.intp], int]:
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    return codes.reshape(-1), len(names)


def _draws(codes: NDArray[np.intp], count: int, draws: int, seed: int) -> Iterator[Weight]:
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        drawn = generator.integers(0, count, size=count)
        yield np.bincount(drawn, minlength=count).astype(np.float64)[codes]


def auroc(target: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, ties counted half; NaN unless both classes have weight.

    Args:
        target: 0 or 1, shape (N,).
        score: larger means class 1, shape (N,).
        weight: row weights, shape (N,); 1 each if left out.
    """
    targets = np.asarray(target)
    return auroc_statistic(targets, score)(np.ones(len(targets)) if weight is None else np.asarray(weight, dtype=np.float64))


def auroc_statistic(target: ArrayLike, score: ArrayLike) -> Statistic:
    """Return :func:`auroc` as a statistic of the row weights; the rows are sorted once, not in every replicate."""
    positive = np.asarray(target) == 1
    _, rank = np.unique(np.asarray(score, dtype=np.float64), return_inverse=True)
    levels = int(rank.max(initial=-1)) + 1

    def statistic(weight: Weight) -> float:
        above = np.bincount(rank, weights=weight * positive, minlength=levels)
        below = np.bincount(rank, weights=weight * ~positive, minlength=levels)
        pairs = above.sum() * below.sum()
        if pairs == 0:
            return float("nan")
        return float(above @ (np.cumsum(below) - below / 2) / pairs)

    pairs = Pairs(int(positive.sum()), int((~positive).sum()))
    return Staked(statistic, resting_on((1.0, positive), (1.0, ~positive)), pairs=pairs)


def weighted_f1(target: ArrayLike, predicted: ArrayLike, n_classes: int, weight: ArrayLike | None = None) -> float:
    """Return the F1 of each class averaged by the class's share of the rows; 0 for a class that is never right.

    Args:
        target: class indices, shape (N,).
        predicted: class indices, shape (N,).
        n_classes: number of classes.
        weight: row weights, shape (N,); 1 each if left out.
    """
    targets = np.asarray(target)
    return weighted_f1_statistic(targets, predicted, n_classes)(
        np.ones(len(targets)) if weight is None else np.asarray(weight, dtype=np.float64)
    )


def weighted_f1_statistic(target: ArrayLike, predicted: ArrayLike, n_classes: int) -> Statistic:
    """Return :func:`weighted_f1` as a statistic of the row weights; NaN where no row has weight."""
    cells = np.asarray(target, dtype=np.intp) * n_classes + np.asarray(predicted, dtype=np.intp)

    def statistic(weight: Weight) -> float:
        confusion = np.bincount(cells, weights=weight, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
        support, claimed = confusion.sum(axis=1), confusion.sum(axis=0)
        if support.sum() == 0:
            return float("nan")
        both = support + claimed
        f1 = np.divide(2 * confusion.diagonal(), both, out=np.zeros(n_classes), where=both > 0)
        return float(f1 @ support / support.sum())

    return Staked(statistic, resting_on((1.0, np.ones(len(cells), dtype=bool))))
