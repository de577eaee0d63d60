"""ISIC 2018, task 1: ``ISIC2018_Task1-2_Training_Input/*.jpg``, ``ISIC2018_Task1_Training_GroundTruth/*_segmentation.png``.

So for Training, Validation and Test, which is the official split; the public segmentation code calls the folders
``Training_Data`` and ``Training_GroundTruth``. There is no table, and nobody's age, sex or lesion.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers.base import Delivery
from panderm.readers.isic_archive import PARTS
from panderm.readers.isic_table import is_text
from panderm.readers.listing import looks_like_image
from panderm.readers.masks import place_pairs
from panderm.readers.sorting import Sorter, stems

_FOLDER = re.compile(
    r"(?:^|/)(?:ISIC2018_Task1(?:-2)?_)?(Training|Validation|Test)_(Input|Data|GroundTruth)/[^/]+$", re.IGNORECASE
)


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; superpixels of task 2 and texts count as metadata files."""
    sorter = Sorter(dataset, landing)
    sorter.keep([path for path in sorter.files if is_text(path) or path.casefold().endswith("_superpixels.png")])
    loose = [path for path in sorter.images(looks_like_image) if "/" not in path]
    sorter.reject(loose, Reason.NO_METADATA, "it lies in no folder of the challenge")
    found = {path: match for path in sorter.images(looks_like_image) if (match := _FOLDER.search(path))}
    images = pd.Series([path for path, match in found.items() if match[2].casefold() != "groundtruth"], dtype="string")
    rows = pd.DataFrame(
        {
            "path": images,
            "image_id": stems(images),
            "modality": dataset.modalities[0],
            "split": [PARTS[found[path][1].casefold()] for path in images],
        }
    )
    place_pairs(sorter, rows, [path for path, match in found.items() if match[2].casefold() == "groundtruth"])
    return sorter.finish()
