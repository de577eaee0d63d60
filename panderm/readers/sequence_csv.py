"""Lesions photographed again (SDDI2, SDDI-Alfred): the CSV of :mod:`panderm.readers.task_csv` with one row an image.

``lesion_id`` is the pair or sequence, ``visit`` its time point, ``label`` the whole lesion's (``changed`` or ``unchanged``,
``malignant`` or ``benign``), the same in all its rows; ``malignant_change`` (yes or no) may stand beside.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import task_csv, values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse

REQUIRED = ("lesion_id", "visit")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; lesions whose rows disagree are refused whole."""
    return task_csv.read_with(dataset, landing, REQUIRED, _prepare, _check)


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    if "malignant_change" not in table:
        return table
    return table.assign(malignant_change=values.yes_no(table["malignant_change"]))


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    for name in REQUIRED:
        column = "lesion_id" if name == "lesion_id" else "visit"
        sentence = f"it has no {name}; without it nobody can say where in which sequence it belongs"
        rows = refuse(rows, rows[column].isna(), Reason.BAD_VALUE, sentence)
    of_lesion = rows.groupby("lesion_id")["label"]
    rows = refuse(
        rows,
        of_lesion.transform("nunique") > 1,
        Reason.CONTRADICTION,
        "rows of lesion_id "
        + rows["lesion_id"]
        + " say label '"
        + of_lesion.transform("min")
        + "' and '"
        + of_lesion.transform("max")
        + "'",
    )
    if "malignant_change" in table and "unchanged" in set(rows["label"]):
        odd = (rows["label"] == "unchanged") & (table["malignant_change"] == 1)
        rows = refuse(rows, odd, Reason.CONTRADICTION, "label is 'unchanged' but malignant_change is yes")
    return rows
