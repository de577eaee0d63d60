"""What a reader returns, and the one door to all readers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.errors import InputError


@dataclass(frozen=True)
class Delivery:
    """A landing folder, read: every file in it is in exactly one of the three.

    Attributes:
        rows: images to ingest, columns of ``core.tables.DELIVERED``, sorted by path.
        rejects: files or metadata rows refused by the layout: columns ``path``, ``reason``, ``detail``, sorted by path.
            A refused metadata row never has the path of a file: a row without a file has the path that it names
            (``missing_file``), every other row ``<table>#<line>``.
        metadata_files: tables that were read, and files of the layout that are no images to ingest (masks); posix paths
            relative to the landing folder, sorted.
    """

    rows: pd.DataFrame
    rejects: pd.DataFrame
    metadata_files: tuple[str, ...]


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read a landing folder with the dataset's reader.

    Raises:
        InputError: the folder is missing or holds no file.
    """
    if not landing.is_dir():
        raise InputError(f"{landing} is missing; put {dataset.key}'s delivery there in its native layout")
    if not any(path.is_file() for path in landing.rglob("*")):
        raise InputError(f"{landing} is empty; put {dataset.key}'s delivery there in its native layout")
    module = importlib.import_module(f"panderm.readers.{dataset.reader}")
    delivery = module.read(dataset, landing)
    assert isinstance(delivery, Delivery)
    return delivery
