"""Lesions photographed again (SDDI2, SDDI-Alfred): the CSV of :mod:`panderm.readers.task_csv` with one row an image.

``lesion_id`` is the pair or sequence, ``visit`` its time point (a number, or a date, of which the order counts:
:func:`panderm.readers.values.visit`), ``label`` the whole lesion's (``changed`` or ``unchanged``, ``malignant`` or ``benign``),
the same in all its rows; ``malignant_change`` (yes or no) may stand beside.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import task_csv, values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.sorting import WHERE

REQUIRED = ("lesion_id", "visit")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; lesions whose rows disagree are refused whole, of two images at one time point the first counts."""
    return task_csv.read_with(dataset, landing, REQUIRED, _prepare, _check)


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    if "malignant_change" not in table:
        return table
    return table.assign(malignant_change=values.yes_no(table["malignant_change"]))


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    for name in REQUIRED:
        unsaid = values.text(table[name]).isna() if name == "visit" else rows[name].isna()
        sentence = f"it has no {name}; without it nobody can say where in which sequence it belongs"
        rows = refuse(rows, unsaid, Reason.BAD_VALUE, sentence)
    allowed = "allowed: a number, or a date like 2019-03-01 in every row of the lesion"
    seen = "visit is '" + values.text(table["visit"]) + f"'; {allowed}"
    rows = refuse(rows, values.number(rows["visit"]).isna(), Reason.BAD_VALUE, seen)
    rows = _one_label_a_lesion(rows)
    if "malignant_change" in table and "unchanged" in set(rows["label"]):
        odd = (rows["label"] == "unchanged") & (table["malignant_change"] == 1)
        rows = refuse(rows, odd, Reason.CONTRADICTION, "label is 'unchanged' but malignant_change is yes")
    return _one_image_a_time_point(table, rows)


def _one_label_a_lesion(rows: pd.DataFrame) -> pd.DataFrame:
    """Refuse all rows of a lesion whose rows have different labels, where the label is the lesion's."""
    of_lesion = rows.groupby("lesion_id")["label"]
    said = " say label '" + of_lesion.transform("min") + "' and '" + of_lesion.transform("max") + "'"
    several = of_lesion.transform("nunique") > 1
    return refuse(rows, several, Reason.CONTRADICTION, "rows of lesion_id " + rows["lesion_id"] + said)


def _one_image_a_time_point(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Refuse the second image of a lesion at one time point: nobody can say which of them the sequence goes on with."""
    good = rows[rows["reason"].isna()]
    point = good["lesion_id"] + " at " + values.number(good["visit"]).astype("string")
    first = good[WHERE].groupby(point).transform("first")
    again = point.duplicated().reindex(rows.index, fill_value=False)
    seen = "it is a second image of lesion_id " + rows["lesion_id"] + " at visit '" + values.text(table["visit"]) + "'"
    return refuse(rows, again, Reason.BAD_VALUE, seen + "; that of " + first.reindex(rows.index) + " counts")
