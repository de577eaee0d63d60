"""Which subgroup a test image belongs to: sex, age group, anatomical site, skin type (the paper's subgroup study)."""

from __future__ import annotations

import pandas as pd

SUBGROUPS = ("sex", "age", "site", "skin_type")
"""Columns of the predictions table that are judged by subgroup."""

_AGE_GROUPS = {"under 40": 40.0, "40 to 59": 60.0, "60 and over": float("inf")}

LEVELS: dict[str, tuple[str, ...]] = {
    "sex": ("female", "male"),
    "age": tuple(_AGE_GROUPS),
    "skin_type": ("I", "II", "III", "IV", "V", "VI"),
}
"""What a subgroup may be, where that is a closed list; sites are whatever is delivered."""


def subgroup(predictions: pd.DataFrame, column: str) -> pd.Series:
    """Return each row's subgroup as text, null where unknown; ages in years become three groups."""
    values = predictions[column]
    if column != "age":
        return values.astype(object).where(values.notna(), None)
    bands = pd.cut(values.astype("float64"), [0.0, *_AGE_GROUPS.values()], right=False, labels=list(_AGE_GROUPS))
    return bands.astype(object).where(values.notna(), None)
