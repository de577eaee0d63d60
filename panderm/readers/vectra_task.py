"""The total-body tasks: exports as in :mod:`panderm.readers.vectra`, with what the clinic made of each lesion.

``lesions.csv`` has two columns more: ``dermoscopy`` (yes or no: whether the lesion was sent to dermoscopy, which is the
paper's high risk) and ``pathology`` (a word of :mod:`panderm.readers.pathology`, blank where nothing was excised).
``subjects.csv`` may have ``split``. Attributes: the 32 measurements and ``out_of_bounds_fraction`` as numbers under the
device's names (``location_simple`` as text), ``pathology``, and ``malignant`` (1, or 0 where benign or never excised).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import known_split, refuse
from panderm.readers.pathology import nature_of_finding
from panderm.readers.sorting import Sorter, column
from panderm.readers.vectra import MEASUREMENTS, people, place_visits, rows_of

DERMOSCOPY, PATHOLOGY = "dermoscopy", "pathology"
_NAMES = (*MEASUREMENTS, "out_of_bounds_fraction")
_USED = (*(name.casefold() for name in _NAMES), DERMOSCOPY, PATHOLOGY)
_MALIGNANT = {"benign": 0, "malignant": 1}
_ALLOWED = "benign, malignant, melanoma, BCC, SCC, nevus and the other words of docs/deliveries.md, or blank"


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    known = people(sorter)
    place_visits(sorter, ("lesion_id", DERMOSCOPY), _USED, lambda table: _rows(dataset, table, known))
    return sorter.finish()


def _rows(dataset: Dataset, table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    low, high = dataset.classes
    sent = values.yes_no(table[DERMOSCOPY])
    pathology = values.text(column(table, PATHOLOGY)).str.casefold()
    malignant = pathology.map(nature_of_finding, na_action="ignore").map(_MALIGNANT)
    proven = malignant.fillna(0).astype(int)
    rows = rows_of(dataset, table, known).assign(
        label=sent.map({0: low, 1: high}).astype("string").fillna(values.text(table[DERMOSCOPY])),
        malignant=proven,
        attributes=values.attributes(_measured(table).assign(pathology=pathology, malignant=proven.astype(object))),
    )
    rows = known_split(rows.assign(split=table["folder"].str.split("/").str[0].map(known["split"]).astype("string")))
    odd = "pathology is '" + pathology + f"'; allowed: {_ALLOWED}"
    rows = refuse(rows, pathology.notna() & malignant.isna(), Reason.BAD_VALUE, odd)
    never = "dermoscopy is no but pathology is '" + pathology + "'"
    return refuse(rows, (sent == 0) & pathology.notna(), Reason.CONTRADICTION, never)


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the device's values under its own names; what is missing or no number is null."""
    measured = {name: values.number(table[name.casefold()]) for name in _NAMES if name != "location_simple"}
    frame = pd.DataFrame(measured).astype(object)
    return frame.where(frame.notna(), None).assign(location_simple=values.text(table["location_simple"]))
