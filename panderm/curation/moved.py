"""Patients, lesions and pictures that a delivery lists on two sides: as a table, and one sentence each.

They cannot stay as shipped, since one would be trained on and tested on; where they went is decided in
:func:`panderm.curation.splits.assign`. Here it is told.
"""

from __future__ import annotations

import pandas as pd

from panderm.core.tables import MOVED
from panderm.curation.splits import SPLITS
from panderm.curation.telling import told

_IMAGES = 3  # images named a side


def moved_table(rows: pd.DataFrame, split: pd.Series, moved: pd.Series) -> pd.DataFrame:
    """Return every image of the groups that left a shipped split (columns of ``core.tables.MOVED``), by group and image.

    Args:
        rows: columns ``image_id, group, patient_id, lesion_id, split`` (shipped, may be null).
        split: where each row is now.
        moved: which rows left their shipped split.
    """
    table = rows.rename(columns={"split": "shipped"}).assign(split=split)
    crossing: pd.DataFrame = table[table["group"].isin(rows["group"][moved])]
    return crossing.sort_values(["group", "image_id"])[list(MOVED.names)]


def moved_sentences(table: pd.DataFrame) -> list[str]:
    """Say of the first groups who is where and went where, and how many others there are.

    Args:
        table: :func:`moved_table`'s.
    """
    sentences = [_sentence(members) for _, members in table.groupby("group", sort=False)]
    return told(sentences, "are in two splits; moved.parquet beside the split names all")


def _sentence(members: pd.DataFrame) -> str:
    sides = [
        f"in {name} ({_named(members['image_id'][members['shipped'] == name])})"
        for name in SPLITS
        if name in set(members["shipped"])
    ]
    unlisted = members["image_id"][~members["shipped"].isin(SPLITS)]
    sides += [f"in no split ({_named(unlisted)})"] if len(unlisted) else []
    return f"{_who(members)} is {' and '.join(sides)}; all of it goes to {members['split'].iloc[0]}"


def _who(members: pd.DataFrame) -> str:
    """Return what holds a group together, in words: a patient, a lesion, or that the pictures are the same."""
    for column, word in (("patient_id", "patient"), ("lesion_id", "lesion")):
        names = sorted(members[column].dropna().unique())
        if len(names) == 1:
            return f"{word} {names[0]}"
        if names:
            return f"what joins the {word}s {_named(pd.Series(names))} (a lesion or the same picture)"
    return "the same picture"


def _named(names: pd.Series) -> str:
    shown = ", ".join(names.iloc[:_IMAGES].astype(str))
    return shown if len(names) <= _IMAGES else f"{shown} and {len(names) - _IMAGES} more"
