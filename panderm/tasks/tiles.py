"""Which tiles of a Vectra export are lesions worth judging: the paper's filter on the device's own fields."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.tasks.attributes import example, readable_numbers


class Rule(NamedTuple):
    """A field's least or largest value.

    Attributes:
        field: the device's name.
        low: least value, or below it all if ``open``.
        high: largest value.
        reason: what a tile is counted under that breaks it.
        open: whether ``low`` itself is too little.
    """

    field: str
    low: float
    high: float
    reason: str
    open: bool = False


RULES = (
    Rule("majorAxisMM", 2.0, float("inf"), "smaller_than_2_mm"),
    Rule("deltaLBnorm", 4.5, float("inf"), "contrast_below_4.5"),
    Rule("out_of_bounds_fraction", float("-inf"), 0.25, "beyond_the_body_by_over_0.25"),
    Rule("dnn_lesion_confidence", 50.0, float("inf"), "lesion_confidence_below_50"),
    Rule("nevi_confidence", 80.0, float("inf"), "nevus_confidence_not_above_80", open=True),
)
"""In the paper's order (Methods, Total-body photography); a tile is counted under the first that it breaks."""

MISSING = "filter_value_missing"
"""Tiles without one of the values: nobody can say whether they pass, so they are left out and counted."""

UNREADABLE = "filter_value_not_a_number"
"""Tiles with something else in place of a value; left out and counted likewise."""


def passing(task: Benchmark, rows: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
    """Return which rows pass every rule, and how many are left out by reason.

    Args:
        task: whose they are.
        rows: columns ``image_id`` and ``attributes``.

    Raises:
        InputError: no row has one of the fields, or none passes.
    """
    values, wrong = readable_numbers(rows, [rule.field for rule in RULES])
    for name in values:
        if len(rows) and values[name].isna().all():
            said = example(rows, wrong[[name]])
            lacking = (
                f"{task.key}: none of its {len(rows)} tiles has {name}, which the filter needs{f' ({said})' if said else ''}"
            )
            raise InputError(f"{lacking}; export it from the device")
    reason = pd.Series(MISSING, index=rows.index, dtype=object).where(values.isna().any(axis=1), None)
    reason[wrong.notna().any(axis=1)] = UNREADABLE
    for rule in RULES:
        value = values[rule.field]
        broken = (value < rule.low) | (value > rule.high) | (rule.open & (value == rule.low))
        reason = reason.where(reason.notna() | ~broken, rule.reason)
    left_out = {name: int((reason == name).sum()) for name in (MISSING, UNREADABLE, *(rule.reason for rule in RULES))}
    if reason.notna().all():
        told = ", ".join(f"{name} {count}" for name, count in left_out.items() if count)
        raise InputError(f"{task.key}: none of its {len(rows)} tiles passes the filter ({told}); check the export's units")
    return reason.isna(), left_out
