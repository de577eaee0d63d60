"""Nevus counting: the CSV of :mod:`panderm.readers.task_csv` with two labels an image.

``label`` is the consensus of physicians on the screen, ``label_in_clinic`` what the senior dermatologist saw through the
dermatoscope: the gold standard of the test set. A row with a label from the clinic is a test row unless ``split`` says
otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import task_csv, values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.sorting import column

IN_CLINIC = "label_in_clinic"
_WORDS = {
    **dict.fromkeys(("nevus", "naevus"), "nevus"),
    **dict.fromkeys(("other", "non-nevus", "nonnevus", "non-naevus", "not nevus", "no nevus"), "other"),
}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; test rows without the clinic's label are refused."""
    return task_csv.read_with(dataset, landing, (IN_CLINIC,), _prepare, _check)


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the clinic's label as the label of test rows, and the screen's as an attribute of all."""
    if IN_CLINIC not in table or "label" not in table:
        return table
    clinic, screen = _word(table[IN_CLINIC]), _word(table["label"])
    split = values.split(column(table, "split"))
    split = split.fillna(pd.Series("train", index=table.index, dtype="string").mask(clinic.notna(), "test"))
    return table.assign(split=split, label=screen.where(split != "test", clinic), label_on_screen=screen)


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    bare = (rows["split"] == "test") & _word(table[IN_CLINIC]).isna()
    return refuse(rows, bare, Reason.UNKNOWN_LABEL, f"it is a test image without {IN_CLINIC}, the gold standard")


def _word(delivered: pd.Series) -> pd.Series:
    words = values.text(delivered)
    return words.str.casefold().map(_WORDS).astype("string").fillna(words)
