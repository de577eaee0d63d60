"""Teledermatology cases: ``consultations.csv``, a row a case that names a dermoscopic and a clinical photo in ``images/``.

Columns: case_id, patient_id, lesion_id, dermoscopic_image, clinical_image, age, sex, site, diagnosis. A case may lack
one of the two photos.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, below, column, file_names, stems

TABLE = "consultations.csv"
PHOTOS = {"dermoscopic": "dermoscopic_image", "clinical": "clinical_image"}
REQUIRED = ("patient_id", *PHOTOS.values())


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.startswith("images/"))
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        empty = values.text(table[PHOTOS["dermoscopic"]]).isna() & values.text(table[PHOTOS["clinical"]]).isna()
        parts = [
            # A case without any photo is reported once, a case without one of the two not at all.
            part[part["named"].notna() | (empty & (modality == "dermoscopic"))]
            for modality in PHOTOS
            for part in [_rows(dataset, table, modality)]
        ]
        sorter.place(TABLE, pd.concat(parts, ignore_index=True), below("images", images))
    return sorter.finish()


def _rows(dataset: Dataset, table: pd.DataFrame, modality: str) -> pd.DataFrame:
    named = file_names(table[PHOTOS[modality]], "images")
    lesion = values.within(table["patient_id"], column(table, "lesion_id"))
    return pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": modality,
            "patient_id": values.prefixed(dataset.patient_namespace, table["patient_id"]),
            "lesion_id": values.prefixed(dataset.patient_namespace, lesion),
            "visit": values.text(column(table, "case_id")),
            "label": values.label(column(table, "diagnosis"), dataset.classes),
            "age": values.age(column(table, "age")),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "site")),
        }
    )
