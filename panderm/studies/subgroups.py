"""Is a model as good for everybody? Its figure by site, age, sex and skin type, and how far each group is from all others.

The figures are evaluate's, from its predictions; this study sets each group against the rest with an interval, which a list
of separate intervals does not tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.files import sha256_file
from panderm.core.tables import read_table
from panderm.evaluation.bootstrap import cluster_bootstrap
from panderm.evaluation.evidence import PREDICTIONS_NAME
from panderm.evaluation.figures import interval_of
from panderm.evaluation.intervals import DIFFERENCE
from panderm.evaluation.stakes import difference, on_rows
from panderm.evaluation.subgroups import SUBGROUPS, subgroup
from panderm.studies.lines import forest_chart
from panderm.studies.points import Given, Point, Told
from panderm.tasks.kinds import kind_of

STUDY = "subgroups"
KINDS = None  # every kind has predictions


class Config(FrozenConfig):
    """What is told.

    Attributes:
        min_groups: patients (or lesions, or images) below which a subgroup has a value and no interval, as in evaluate.
    """

    min_groups: int = Field(default=15, ge=2)


def run(config: Config, given: Given) -> Told:
    """Judge the task's predictions by subgroup.

    Raises:
        InputError: the task has not been evaluated.
    """
    task = given.task
    path = given.layout.evaluation(task.key) / PREDICTIONS_NAME
    predictions = read_table(path, kind_of(task).schema(task))
    whole = interval_of(kind_of(task).primary(task, predictions), predictions, given.how)
    counts = (len(predictions), int(predictions["group"].nunique()))
    points = [Point("all", "all", math.nan, task.metric, *whole[:3], *counts)]
    for column in SUBGROUPS:
        points += _of_column(config, given, predictions, column)
    return Told(
        title=f"Subgroups, {given.named}",
        text="Intervals are 95 %, over patients. The note has the difference between a subgroup and all other cases where that "
        "fact is known, with its interval; no correction for the number of subgroups.",
        points=points,
        draw=forest_chart(f"Subgroups, {given.named}"),
        hashes={"predictions": sha256_file(path)},
    )


def _of_column(config: Config, given: Given, predictions: pd.DataFrame, column: str) -> Iterator[Point]:
    task, metric = given.task, given.task.metric
    names = subgroup(predictions, column)
    known = names.notna().to_numpy()
    for name in sorted(names.dropna().unique()):
        mine = (names == name).to_numpy()
        members = predictions[mine]
        counts, words = (len(members), int(members["group"].nunique())), f"{column.replace('_', ' ')}: {name}"
        statistic = kind_of(task).primary(task, members)
        value = statistic(np.ones(len(members)))
        if math.isnan(value):
            yield Point(column, words, math.nan, metric, value, math.nan, math.nan, *counts, "a class is missing")
        elif counts[1] < config.min_groups:
            few = f"{counts[1]} patients or lesions, an interval needs {config.min_groups}"
            yield Point(column, words, math.nan, metric, value, math.nan, math.nan, *counts, few)
        else:
            interval = interval_of(statistic, members, given.how)
            note = _against_others(given, predictions[known], mine[known])
            yield Point(column, words, math.nan, metric, *interval[:3], *counts, note)


def _against_others(given: Given, rows: pd.DataFrame, mine: np.ndarray) -> str | None:
    """Say how far a subgroup is from the other rows; None where these cannot be judged."""
    inside, outside = (on_rows(kind_of(given.task).primary(given.task, rows[part]), part) for part in (mine, ~mine))
    how = given.how
    gap = difference(inside, outside)
    found = cluster_bootstrap(gap, rows["group"].to_numpy(), replicates=how.replicates, seed=how.seed, bounds=DIFFERENCE)
    if math.isnan(found.value):
        return None
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}) against the others"
