"""Clinical columns -> the covariates of a Cox model: numbers in stated units, categories as indicators, complete rows only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

SCORE = "score (0 to 1)"
NUMBERS: dict[str, tuple[str, float]] = {
    "age": ("age (10 years)", 10.0),
    "breslow": ("Breslow (mm)", 1.0),
    "ulceration": ("ulceration", 1.0),
    "mitosis": ("mitoses (1/mm²)", 1.0),
}
"""Column -> name in the model, and how much of it is one unit there."""

CATEGORIES = ("sex", "subtype", "site")
"""Columns that become indicators against their commonest value (paper: sex, subtype, location)."""

LEAST_IN_LEVEL = 10
"""Patients that a value of a category needs for a coefficient of its own; rarer values are "other" (our choice)."""


class Design(NamedTuple):
    """The covariates of a Cox model.

    Attributes:
        columns: one a coefficient, complete.
        used: the rows of the patients that stayed (P,) bool.
        missing: patients without the value, by column.
        constant: columns left out because all patients are alike in them.
        reference: by category, the value that the others are held against.
    """

    columns: pd.DataFrame
    used: pd.Series
    missing: dict[str, int]
    constant: list[str]
    reference: dict[str, str]


def design(patients: pd.DataFrame) -> Design:
    """Return the covariates of patients, score first.

    Patients without one of the values are left out (complete cases) and counted, except in a column that nobody has.

    Args:
        patients: ``score``, the columns of :data:`NUMBERS` and of :data:`CATEGORIES`; values may be null.
    """
    known = [name for name in (*NUMBERS, *CATEGORIES) if patients[name].notna().any()]
    missing = {name: int(patients[name].isna().sum()) for name in (*NUMBERS, *CATEGORIES)}
    used = patients[known].notna().all(axis=1)
    rows = patients[used]
    columns = {SCORE: rows["score"].astype("float64")}
    reference: dict[str, str] = {}
    for name in known:
        if name in NUMBERS:
            title, unit = NUMBERS[name]
            columns[title] = rows[name].astype("float64") / unit
        else:
            indicators, reference[name] = _indicators(rows[name].astype(str), name)
            columns |= indicators
    frame = pd.DataFrame(columns, index=rows.index)
    alike = [str(name) for name in frame if name != SCORE and frame[name].nunique() < 2]
    absent = [NUMBERS[name][0] if name in NUMBERS else name for name in (*NUMBERS, *CATEGORIES) if name not in known]
    return Design(frame.drop(columns=alike), used, missing, alike + absent, reference)


def _indicators(values: pd.Series, name: str) -> tuple[dict[str, pd.Series], str]:
    """Return an indicator of each value but the commonest; rare ones together, or with the commonest where still rare."""
    counts = values.value_counts()
    order = sorted(counts.index, key=lambda value: (-counts[value], value))
    first = order[0] if order else ""
    rare = [value for value in order[1:] if counts[value] < LEAST_IN_LEVEL]
    found = {f"{name}: {value}": (values == value).astype("float64") for value in order[1:] if value not in rare}
    if int(np.sum([counts[value] for value in rare])) >= LEAST_IN_LEVEL:
        found[f"{name}: other"] = values.isin(rare).astype("float64")
        rare = []
    return found, first + (f" (with {', '.join(rare)})" if rare else "")
