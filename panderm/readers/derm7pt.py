"""Derm7pt as Simon Fraser University ships it (Kawahara et al., 2018): ``meta/meta.csv``, a row a case, and ``images/``.

A case has a dermoscopic (``derm``) and a clinical photo (``clinic``); a benchmark takes one of the two, the other half is
out of its scope. ``meta/train_indexes.csv``, ``valid_indexes.csv`` and ``test_indexes.csv`` (column ``indexes``) count the
rows of ``meta.csv`` from 0. There is no age and no patient; a case is a lesion.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import NAMED, Sorter, column, file_names, stems

TABLE = "meta/meta.csv"
PHOTOS = {"dermoscopic": "derm", "clinical": "clinic"}
REQUIRED = ("case_num", "diagnosis", *PHOTOS.values())
CRITERIA = (
    *("pigment_network", "streaks", "pigmentation", "regression_structures", "dots_and_globules", "blue_whitish_veil"),
    "vascular_structures",
)
"""The seven points; their columns and these words become attributes."""

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_TEXTS = (*CRITERIA, "level_of_diagnostic_difficulty", "elevation", "management", "diagnosis")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; it may lie in a folder of its own (``release_v0/``)."""
    sorter = Sorter(dataset, landing)
    root = next((path[: -len(TABLE)] for path in sorter.files if path.casefold().endswith(TABLE)), "")
    folder = f"{root}images/".casefold()
    images = sorter.images(lambda path: path.casefold().startswith(folder))
    table = sorter.table(root + TABLE, REQUIRED, images)
    if table is not None:
        split, twice = _official(sorter, root, table)
        parts = [_rows(dataset, table, modality).assign(split=split) for modality in PHOTOS]
        rows = pd.concat([part[part[NAMED].notna()] for part in parts])
        detail = f"{root}meta: more than one of the three files of indexes lists its case; correct them"
        rows = refuse(rows, rows.index.to_series().map(twice), Reason.CONTRADICTION, detail)
        files = {path[len(folder) :]: path for path in images}
        sorter.place(root + TABLE, rows.reset_index(drop=True), files)
    return sorter.finish()


def _official(sorter: Sorter, root: str, table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return each row's split (null where no file lists it) and whether more than one file does."""
    place = pd.Series(range(len(table)), index=table.index)
    delivered = {path.casefold() for path in sorter.files}
    found, listed = pd.Series(pd.NA, index=table.index, dtype="string"), pd.Series(0, index=table.index)
    for name, split in _SPLITS.items():
        path = f"{root}meta/{name}_indexes.csv"
        indexes = sorter.table(path, ("indexes",), []) if path.casefold() in delivered else None
        if indexes is not None:
            here = place.isin(values.number(indexes["indexes"]))
            found, listed = found.mask(here, split), listed + here
    return found, listed > 1


def _rows(dataset: Dataset, table: pd.DataFrame, modality: str) -> pd.DataFrame:
    named = file_names(table[PHOTOS[modality]], "images")
    case = values.prefixed(dataset.patient_namespace, table["case_num"])
    rows = pd.DataFrame(
        {
            NAMED: named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": modality,
            "lesion_id": case,
            "label": _label(values.text(table["diagnosis"]), dataset.classes),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "location")),
            "attributes": values.attributes(_attributes(table)),
        }
    )
    other = pd.Series(modality not in dataset.modalities, index=table.index)
    return refuse(rows, other, Reason.OUT_OF_SCOPE, f"it is the case's {modality} photo, which this task does not take")


def _label(diagnosis: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    """Return the second class for every kind of melanoma (six words begin so, the metastasis among them), else the first."""
    melanoma = diagnosis.str.casefold().str.startswith("melanoma")
    return diagnosis.mask(melanoma, classes[-1]).mask(diagnosis.str.casefold().isin(OTHERS), classes[0])


OTHERS = (
    *("basal cell carcinoma", "blue nevus", "clark nevus", "combined nevus", "congenital nevus", "dermal nevus"),
    *("dermatofibroma", "lentigo", "melanosis", "miscellaneous", "nevus", "recurrent nevus", "reed or spitz nevus"),
    *("seborrheic keratosis", "vascular lesion"),
)
"""The diagnoses that are no melanoma."""


def _attributes(table: pd.DataFrame) -> pd.DataFrame:
    texts = {name: values.text(table[name]) for name in _TEXTS if name in table}
    known = {name: each.astype(object).where(each.notna(), None) for name, each in texts.items()}
    return pd.DataFrame(known | {"seven_point_score": values.number(column(table, "seven_point_score"))}, index=table.index)
