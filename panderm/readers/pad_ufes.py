"""PAD-UFES-20 as Mendeley Data ships it (Pacheco et al., 2020): ``metadata.csv`` with 26 columns, ``imgs_part_*/*.png``.

Either lies in any folder: the archive unpacks to ``images/imgs_part_1/``. The column of the Fitzpatrick type is spelt
``fitspatrick`` there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.listing import is_litter
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "metadata.csv"
REQUIRED = ("img_id", "patient_id", "diagnostic")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images, name = sorter.images(_is_picture), sorter.find(TABLE)
    table = sorter.table(name, REQUIRED, images)
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
        sorter.place(name, rows, by_name(images))
    return sorter.finish()


def _is_picture(path: str) -> bool:
    return any(part.startswith("imgs_part") for part in path.casefold().split("/")[:-1]) and not is_litter(path)
