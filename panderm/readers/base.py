"""What a reader returns, and the one door to all readers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.errors import InputError

OFFICIAL = "panderm.csv"
"""A diagnosis task's table in the form of the public PanDerm code, delivered in place of the native layout."""

LICENCE = "licence.txt"
"""A file beside any layout whose first line names the terms of the delivery (``panderm.ingestion.licence``)."""


@dataclass(frozen=True)
class Delivery:
    """A landing folder, read: every file in it, and every member of a container, is in exactly one of the first three.

    Attributes:
        rows: images to ingest, columns of ``core.tables.DELIVERED``, sorted by path.
        rejects: files or metadata rows refused by the layout: columns ``path``, ``reason``, ``detail``, sorted by path.
            A refused metadata row never has the path of a file: a row without a file has the path that it names
            (``missing_file``), every other row ``<table>#<line>``.
        metadata_files: tables that were read, and files of the layout that are no images to ingest (masks); posix paths
            relative to the landing folder, sorted.
        members: every member of the containers that were opened, ``<container>#<member>``, sorted.
    """

    rows: pd.DataFrame
    rejects: pd.DataFrame
    metadata_files: tuple[str, ...]
    members: tuple[str, ...] = ()


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read a landing folder with the dataset's reader, or a diagnosis task's :data:`OFFICIAL` table where that was delivered.

    Raises:
        InputError: the folder is missing or holds no file.
    """
    if not landing.is_dir():
        raise InputError(f"{landing} is missing; put {dataset.key}'s delivery there in its native layout")
    if not any(path.is_file() for path in landing.rglob("*")):
        raise InputError(f"{landing} is empty; put {dataset.key}'s delivery there in its native layout")
    module = importlib.import_module(f"panderm.readers.{'task_csv' if is_official(dataset, landing) else dataset.reader}")
    delivery = module.read(dataset, landing)
    assert isinstance(delivery, Delivery)
    return delivery


def is_official(dataset: Dataset, landing: Path) -> bool:
    """Return whether the delivery is :data:`OFFICIAL`; other kinds need lesions, visits or times, which it does not have."""
    return dataset.kind == "diagnosis" and any(path.name.casefold() == OFFICIAL for path in landing.iterdir())
