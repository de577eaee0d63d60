"""HAM10000 with the lesions' masks (Tschandl et al., 2020): ``HAM10000_segmentations_lesion_tschandl/*_segmentation.png``.

Otherwise as :mod:`panderm.readers.ham10000` reads Dataverse's files; the diagnosis stays as label, though the task does
not use it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers.base import Delivery
from panderm.readers.ham10000 import NAMES, REQUIRED, is_mask, is_picture, table_rows
from panderm.readers.masks import place_pairs
from panderm.readers.sorting import Sorter, by_name


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    masks, images = sorter.images(is_mask), sorter.images(is_picture)
    name = sorter.find(*NAMES)
    table = sorter.table(name, REQUIRED, images)
    rows = pd.DataFrame(columns=["path", "image_id", "modality"], dtype="string")
    if table is not None:
        known = table_rows(dataset, table)
        rows = sorter.match(name, known, by_name(images))
    place_pairs(sorter, rows, masks)
    return sorter.finish()
