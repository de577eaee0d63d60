"""HAM10000 as the ISIC archive and Harvard Dataverse ship it (Tschandl et al., 2018).

``HAM10000_metadata.csv``, ``HAM10000_images_part_*/ISIC_*.jpg``, and masks in ``HAM10000_segmentations_*/``. There are
no patients: ``lesion_id`` is what must stay together, so the layout cannot do without it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "HAM10000_metadata.csv"
REQUIRED = ("image_id", "lesion_id", "dx")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; masks count as metadata files."""
    sorter = Sorter(dataset, landing)
    sorter.keep(sorter.images(is_mask))
    images = sorter.images(is_picture)
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        sorter.place(TABLE, table_rows(dataset, table), by_name(images))
    return sorter.finish()


def is_mask(path: str) -> bool:
    """Return whether a file lies where the masks do."""
    return path.casefold().startswith("ham10000_segmentations")


def is_picture(path: str) -> bool:
    """Return whether a file lies where the images do."""
    return path.casefold().startswith("ham10000_images") and "/" in path


def table_rows(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row an image, for :meth:`panderm.readers.sorting.Sorter.place`."""
    named = file_names(table["image_id"])
    return pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": dataset.modalities[0],
            "lesion_id": values.prefixed(dataset.patient_namespace, table["lesion_id"]),
            "label": values.label(table["dx"], dataset.classes),
            "age": values.age(column(table, "age")),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "localization")),
            "institution": values.text(column(table, "dataset")),
        }
    )
