"""Tiles cut from whole slides: ``tiles.csv`` (image, donor_id, tissue, and where known hospital) and ``tiles/``.

A whole slide beside them is cut into tiles as :mod:`panderm.readers.slides` does, with or without tiles of others.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.slides import place_slides
from panderm.readers.sorting import Sorter, below, column, file_names, stems

TABLE = "tiles.csv"
REQUIRED = ("image", "donor_id")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; the label is the tissue."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.startswith("tiles/"))
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        named = file_names(table["image"], "tiles")
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "patient_id": values.prefixed(dataset.patient_namespace, table["donor_id"]),
                "label": values.label(column(table, "tissue"), dataset.classes),
                "institution": values.text(column(table, "hospital")),
            }
        )
        sorter.place(TABLE, rows, below("tiles", images))
    place_slides(sorter)
    return sorter.finish()
