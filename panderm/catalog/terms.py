"""A published data set as an input of models: its terms, and whether a program drew it."""

from __future__ import annotations

from pathlib import Path

from panderm.catalog.table import BENCHMARKS, SOURCES
from panderm.core.layout import benchmark_dataset
from panderm.core.record import RECORD_NAME, Record
from panderm.core.terms import SYNTHETIC, UNKNOWN, Input


def dataset_input(key: str, data: Path | None, images: int) -> Input:
    """Return a data set as an input of which ``images`` were learnt from.

    Its terms are those that were delivered with it (``licence.txt``), else none for a synthetic twin, else the catalogue's.

    Args:
        key: ``mym`` or ``benchmarks/ham10000``.
        data: the published datasets; None, or a data set without a record there, takes the catalogue's word.
        images: how many.
    """
    values = Record.load(data / key).values if data is not None and (data / key / RECORD_NAME).is_file() else {}
    synthetic = bool(values.get("synthetic", False))
    terms = values.get("licence") or (SYNTHETIC if synthetic else published_terms(key))
    return Input(name=key, licence=terms, images=images, synthetic=synthetic)


def published_terms(key: str) -> str:
    """Return the terms that the provider of a data set publishes it under, as the catalogue knows them."""
    rows = [(row.key, row.licence) for row in SOURCES]
    rows += [(benchmark_dataset(row.key), row.licence) for row in BENCHMARKS]
    return dict(rows).get(key, UNKNOWN)
