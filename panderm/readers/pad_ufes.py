"""PAD-UFES-20 as Mendeley Data ships it (Pacheco et al., 2020): ``metadata.csv`` with 26 columns, ``imgs_part_*/*.png``.

The column of the Fitzpatrick type is spelt ``fitspatrick`` there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "metadata.csv"
REQUIRED = ("img_id", "patient_id", "diagnostic")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.casefold().startswith("imgs_part") and "/" in path)
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        named = file_names(table["img_id"])
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "patient_id": values.prefixed(dataset.patient_namespace, table["patient_id"]),
                "lesion_id": values.prefixed(dataset.patient_namespace, column(table, "lesion_id")),
                "label": values.label(table["diagnostic"], dataset.classes),
                "age": values.age(column(table, "age")),
                "sex": values.sex(column(table, "gender")),
                "site": values.site(column(table, "region")),
                "skin_type": values.skin_type(column(table, "fitspatrick")),
            }
        )
        sorter.place(TABLE, rows, by_name(images))
    return sorter.finish()
