"""All figures of an evaluation with their intervals: overall, by class, by subgroup."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from panderm.catalog import Benchmark
from panderm.evaluation.bootstrap import (
    LEVEL,
    METHOD,
    REPLICATES,
    Interval,
    Method,
    Statistic,
    Unit,
    cluster_bootstrap,
    drawn_together,
)
from panderm.evaluation.metrics import PAIRED_CLASSES
from panderm.evaluation.subgroups import SUBGROUPS, subgroup
from panderm.evaluation.tables import Figure
from panderm.tasks.kinds import judged_classes, kind_of, of_served, serves_one_of_several

SERVED = "_served"
"""End of a figure's name if it is that of the network that is served, where the others are means over several."""

_NO_INTERVAL = (
    "it hangs on one patient, too few replicates have its classes, or no group differs and it does not say what it rests on"
)


class Resampling(NamedTuple):
    """How intervals are made.

    Attributes:
        replicates: bootstrap replicates.
        level: coverage.
        seed: of the draw.
        min_groups: patients (or lesions, or images) below which a class or subgroup gets no interval.
        unit: what a replicate draws: whole patients (``clustered``), or single images as the paper does (``plain``).
        method: how the ends are made of the replicates; the paper's are ``percentile``.
    """

    replicates: int = REPLICATES
    level: float = LEVEL
    seed: int = 0
    min_groups: int = 15
    unit: Unit = "clustered"
    method: Method = METHOD


def all_figures(task: Benchmark, predictions: pd.DataFrame, how: Resampling) -> list[Figure]:
    """Return every figure of a task's predictions; the task's primary metric is the first."""
    return [
        *_overall(task, predictions, how),
        *_by_class(task, predictions, how),
        *_by_subgroup(task, predictions, how),
    ]


def figure_of_served(report: dict[str, Any]) -> dict[str, Any]:
    """Return the primary figure of a ``report.json``, with its interval, of the very network that is served."""
    served: dict[str, Any] = report.get("others", {}).get(f"{report['metric']}{SERVED}")
    return served or {name: report.get(name) for name in ("metric", "value", "low", "high", "n", "groups")}


def _overall(task: Benchmark, predictions: pd.DataFrame, how: Resampling) -> Iterator[Figure]:
    kind = kind_of(task)
    found = {task.metric: kind.primary(task, predictions), **kind.score(task, predictions)}
    if serves_one_of_several(task):
        alone = of_served(task, predictions)
        theirs = {task.metric: kind.primary(task, alone), **kind.score(task, alone)}
        found |= {f"{name}{SERVED}": statistic for name, statistic in theirs.items()}
    for name, statistic in found.items():
        many = name == "auroc_ovo" and len(task.classes) > PAIRED_CLASSES
        reason = f"a mean over {len(task.classes)} classes in pairs gets no interval above {PAIRED_CLASSES}" if many else ""
        yield _figure(("overall", "", name), statistic, predictions, predictions, how, always=True, bare=reason)


def _by_class(task: Benchmark, predictions: pd.DataFrame, how: Resampling) -> Iterator[Figure]:
    if "target" not in predictions:
        return
    for index, name in enumerate(judged_classes(task)):
        members = predictions[predictions["target"] == index]
        for metric, statistic in kind_of(task).class_score(task, predictions, index).items():
            yield _figure(("class", name, metric), statistic, predictions, members, how)


def _by_subgroup(task: Benchmark, predictions: pd.DataFrame, how: Resampling) -> Iterator[Figure]:
    for column in SUBGROUPS:
        names = subgroup(predictions, column)
        for name in sorted(names.dropna().unique()):
            members = predictions[(names == name).to_numpy()]
            statistic = kind_of(task).primary(task, members)
            yield _figure(("subgroup", f"{column}={name}", task.metric), statistic, members, members, how)
            if serves_one_of_several(task):
                what, alone = ("subgroup", f"{column}={name}", f"{task.metric}{SERVED}"), of_served(task, members)
                yield _figure(what, kind_of(task).primary(task, alone), alone, alone, how)


def _figure(
    what: tuple[str, str, str],
    statistic: Statistic,
    rows: pd.DataFrame,
    members: pd.DataFrame,
    how: Resampling,
    always: bool = False,
    bare: str = "",
) -> Figure:
    """Return a figure on ``rows``; ``members`` are the images that it speaks of and that have to be enough.

    ``always``: an interval whatever their number; ``bare``: no interval, and why.
    """
    groups, images = int(members["group"].nunique()), len(members)
    value = statistic(np.ones(len(rows))) if len(rows) else math.nan
    if math.isnan(value):
        reason = "no image" if members.empty else "undefined: another class or this one is missing"
        return Figure(*what, math.nan, math.nan, math.nan, images, groups, reason)
    reason = bare
    if groups < how.min_groups and not always:
        reason = f"{groups} patients or lesions, an interval needs {how.min_groups}"
    if reason:
        return Figure(*what, value, math.nan, math.nan, images, groups, reason)
    interval = interval_of(statistic, rows, how)
    few = _NO_INTERVAL if math.isnan(interval.low) else None
    return Figure(*what, value, interval.low, interval.high, images, groups, few)


def interval_of(statistic: Statistic, rows: pd.DataFrame, how: Resampling) -> Interval:
    """Return a statistic on predictions with its interval, made as ``how`` says."""
    together = drawn_together(rows["group"].to_numpy(), how.unit)
    return cluster_bootstrap(statistic, together, replicates=how.replicates, seed=how.seed, level=how.level, method=how.method)
