"""Skin tissue patches as heiDATA ships them (Kriegsmann et al., 2022).

``data/tiles-v2.csv`` and ``data/tiles/<class>/<file>.jpg``; ``data/`` may be missing.

Columns: file (from ``data/`` on), class, set (Train, Validation, Test). A file name ends with its slide and a number
(``..._ws_44_1.jpg``); tiles of one slide stay together in every split, as the slide is what the lesion is elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import known_split, refuse
from panderm.readers.csvfile import LINE
from panderm.readers.listing import looks_like_image
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "tiles-v2.csv"
REQUIRED = ("file", "class")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; a tile whose row and folder name different classes is refused."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: looks_like_image(path) and "tiles" in path.split("/")[:-1])
    sorter.keep([path for path in sorter.files if path.rsplit("/", 1)[-1].casefold() in ("class_dict.json", "readme.md")])
    found = sorter.find(TABLE)
    table = sorter.table(found, REQUIRED, images)
    if table is None:
        return sorter.finish()
    named = file_names(table["file"]).str.rsplit("/", n=1).str[-1]
    slide = stems(named).str.extract(r"_(ws_\d+)_\d+$", expand=False)
    split = values.split(column(table, "set"))
    label, folder = values.label(table["class"], dataset.classes), file_names(table["file"]).str.split("/").str[-2]
    rows = pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": dataset.modalities[0],
            "lesion_id": values.prefixed(dataset.patient_namespace, slide),
            "label": label,
            "split": split,
        }
    )
    rows = known_split(rows)
    differ = folder.isin(list(dataset.classes)) & label.isin(list(dataset.classes)) & (folder != label)
    rows = refuse(rows, differ, Reason.CONTRADICTION, "class is '" + label + "' but file lies in '" + folder + "'")
    sorter.place(found, rows, by_name(images))
    return sorter.finish()
