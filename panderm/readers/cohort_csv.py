"""One table and one folder: ``metadata.csv`` (image, subject, lesion, age, sex, site) and ``images/``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, below, column, file_names, stems

TABLE = "metadata.csv"
REQUIRED = ("image", "subject")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.startswith("images/"))
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        named = file_names(table["image"], "images")
        lesion = values.prefixed(dataset.patient_namespace, values.within(table["subject"], column(table, "lesion")))
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "patient_id": values.prefixed(dataset.patient_namespace, table["subject"]),
                "lesion_id": lesion,
                "visit": values.visit(column(table, "visit"), lesion),
                "label": values.label(column(table, "diagnosis"), dataset.classes),
                "age": values.age(column(table, "age")),
                "sex": values.sex(column(table, "sex")),
                "site": values.site(column(table, "site")),
            }
        )
        sorter.place(TABLE, rows, below("images", images))
    return sorter.finish()
