"""DermNet's 23 folders as they are shared for machine learning: ``train/<Family>/<file>.jpg`` and ``test/<Family>/<file>.jpg``.

Families are named as on the pages they are from (``Acne and Rosacea Photos``). Without ``train`` and ``test`` the images
are split like any other task's.
"""

from __future__ import annotations

from pathlib import Path

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import SPLITS
from panderm.readers.class_folders import in_folders
from panderm.readers.sorting import Sorter


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; the folder above a family's says the split."""
    sorter = Sorter(dataset, landing)
    rows = in_folders(sorter)
    above = values.split(rows["path"].str.split("/").str[-3])
    sorter.accept(rows.assign(split=above.where(above.isin(SPLITS))))
    return sorter.finish()
