"""Rows that speak of one image more than once: do they say the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import pandas as pd

Disagree = Callable[[str, str], bool]
"""Whether two values of one column, as texts, cannot both be right."""


def differ(one: str, other: str) -> bool:
    """Return whether two values are not the same."""
    return one != other


def disputes(rows: pd.DataFrame, key: pd.Series, where: pd.Series, columns: Mapping[str, Disagree]) -> pd.Series:
    """Return key -> one sentence that names both rows and both values, for every key whose rows disagree in a column.

    A blank contradicts nothing. Of several disagreements of one key the first column's counts.

    Args:
        rows: columns of values; those that are not there are passed over. Its index is unique.
        key: of each row: what it speaks of; rows of none are passed over.
        where: of each row: ``<table>#<line>``.
        columns: name -> what counts as disagreement.
    """
    said: dict[str, str] = {}
    again = key[key.notna() & key.duplicated(keep=False)]
    for name in [name for name in columns if name in rows]:
        known = rows.loc[again.index, name].dropna().astype("string")
        of = again[known.index]
        for image, told in known[known.groupby(of).transform("nunique") > 1].groupby(of):
            for (one, first), (other, second) in combinations(told.items(), 2):
                if columns[name](first, second):
                    said.setdefault(str(image), f"{name} is {first!r} in {where[one]}, {second!r} in {where[other]}")
                    break
    return pd.Series(said, dtype="string") + "; correct the table"
