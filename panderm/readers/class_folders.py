"""A folder a condition: ``<Condition name>/<file>.jpg``, also below folders of families; no table, no people."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.listing import looks_like_image
from panderm.readers.sorting import Sorter


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; the label is the name of the folder that an image lies in."""
    sorter = Sorter(dataset, landing)
    sorter.accept(in_folders(sorter))
    return sorter.finish()


def in_folders(sorter: Sorter) -> pd.DataFrame:
    """Refuse images outside of every folder and return a row for each other, labelled with its folder's name."""
    dataset = sorter.dataset
    images = sorter.images(looks_like_image)
    sorter.reject([path for path in images if "/" not in path], Reason.NO_METADATA, "it lies in no condition's folder")
    paths = pd.Series([path for path in images if "/" in path], dtype="string")
    return pd.DataFrame(
        {
            "path": paths,
            "image_id": paths.str.replace(r"\.[^./]+$", "", regex=True),
            "modality": dataset.modalities[0],
            "label": values.label(paths.str.split("/").str[-2], dataset.classes),
        }
    )
