"""MED-NODE as the University of Groningen ships it (Giotis et al., 2015): folders ``melanoma`` (70) and ``naevus`` (100)."""

from __future__ import annotations

from pathlib import Path

from panderm.catalog import Dataset
from panderm.readers.base import Delivery
from panderm.readers.class_folders import in_folders
from panderm.readers.sorting import Sorter

_NAEVUS = ("naevus", "nevus")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; a naevus is the task's negative class."""
    sorter = Sorter(dataset, landing)
    rows = in_folders(sorter)
    naevus = rows["label"].str.casefold().isin(_NAEVUS)
    sorter.accept(rows.assign(label=rows["label"].mask(naevus, dataset.classes[0])))
    return sorter.finish()
