"""Support against no support, a row a comparison: paired t-test over readers or classes, reader-clustered bootstrap beside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.evaluation.bootstrap import LEVEL, REPLICATES, cluster_bootstrap
from panderm.evaluation.metrics import mean_statistic
from panderm.evaluation.multiple import holm
from panderm.evaluation.permutation import paired_t

EFFECTS = pa.schema(
    [
        ("family", pa.string()),  # overall | over classes | experience | class | specialty | condition_group
        ("name", pa.string()),  # of the group; empty for overall
        ("measure", pa.string()),
        ("unit", pa.string()),  # what the t-test pairs: reader, or the class
        ("n", pa.int64()),  # units
        ("answers", pa.int64()),
        ("without", pa.float64()),  # mean over units
        ("with", pa.float64()),
        ("difference", pa.float64()),  # with - without
        ("t_low", pa.float64()),  # ends of Student's 95 % interval of the difference
        ("t_high", pa.float64()),
        ("t", pa.float64()),
        ("p", pa.float64()),  # two-sided, paired
        ("p_holm", pa.float64()),  # adjusted over the family's tests of this measure
        ("pooled", pa.float64()),  # mean difference over answers
        ("low", pa.float64()),  # ends of its interval over replicates that draw whole readers
        ("high", pa.float64()),
    ]
)
"""``effects.parquet``; null where something cannot be given."""


class Measure(NamedTuple):
    """What is compared.

    Attributes:
        name: as the tables call it.
        without: column without support.
        with_: column with support.
        reach: largest difference the scale allows.
        title: as pictures call it.
    """

    name: str
    without: str
    with_: str
    reach: float
    title: str


class Resampling(NamedTuple):
    """Replicates and seed of the reader-clustered intervals."""

    replicates: int = REPLICATES
    seed: int = 0
    level: float = LEVEL


def effect(
    frame: pd.DataFrame, measure: Measure, how: Resampling, *, family: str = "overall", name: str = "", unit: str = "reader"
) -> dict[str, object]:
    """Return one row of :data:`EFFECTS` without Holm's column.

    Args:
        frame: one row an answer: ``reader``, the unit's column and the measure's two.
        measure: what is compared.
        how: of the bootstrap.
        family: tests that are adjusted together.
        name: which group of the family these answers are.
        unit: what the t-test pairs.
    """
    means = frame.groupby(unit)[[measure.without, measure.with_]].mean()
    test = paired_t(means[measure.with_], means[measure.without], how.level)
    steps = (frame[measure.with_] - frame[measure.without]).to_numpy(dtype=np.float64)
    pooled = cluster_bootstrap(
        mean_statistic(steps),
        frame["reader"].to_numpy(dtype=str),
        replicates=how.replicates,
        seed=how.seed,
        level=how.level,
        bounds=(-measure.reach, measure.reach),
    )
    return {
        "family": family,
        "name": name,
        "measure": measure.name,
        "unit": unit,
        "n": test.n,
        "answers": len(frame),
        "without": float(means[measure.without].mean()),
        "with": float(means[measure.with_].mean()),
        "difference": test.difference,
        "t_low": test.low,
        "t_high": test.high,
        "t": test.t,
        "p": test.p,
        "pooled": pooled.value,
        "low": pooled.low,
        "high": pooled.high,
    }


def by_group(
    frame: pd.DataFrame, measures: Iterable[Measure], how: Resampling, column: str, order: Iterable[str] | None = None
) -> list[dict[str, object]]:
    """Return a row for each group of ``column`` and measure; groups in ``order``, else sorted."""
    names = list(order) if order is not None else sorted(frame[column].unique())
    return [
        effect(frame[(frame[column] == name).to_numpy()], measure, how, family=column, name=name)
        for measure in measures
        for name in names
        if (frame[column] == name).any()
    ]


def effects_table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Return the rows as a table with Holm's adjustment within each family and measure."""
    frame = pd.DataFrame(list(rows), columns=EFFECTS.names)
    for _, part in frame.groupby(["family", "measure"]):
        frame.loc[part.index, "p_holm"] = holm(part["p"])
    return frame.astype({"p_holm": "float64"})
