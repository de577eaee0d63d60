"""A published data set as an input of models: its terms, and whether a program drew it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from panderm.catalog.table import BENCHMARKS, SOURCES
from panderm.core.layout import benchmark_dataset
from panderm.core.record import RECORD_NAME, Record
from panderm.core.terms import NON_COMMERCIAL, SYNTHETIC, UNCLEAR, UNKNOWN, Input, Mark, joined, marks

IMAGE_LICENCE = "copyright_license"
"""Attribute of an image that says its own terms, as exports of the ISIC archive do."""


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


def dataset_inputs(key: str, data: Path | None, licences: Sequence[str | None]) -> tuple[Input, ...]:
    """Return a data set as inputs, one for each terms that its images name themselves (:data:`IMAGE_LICENCE`).

    They take the place of terms that are unclear. Beside clear ones only what forbids commercial use is told. Terms that were
    delivered with the data stand, unless they say ``see provider``, as do a twin's.

    Args:
        key: as of :func:`dataset_input`.
        data: likewise.
        licences: what each image that was learnt from says; None or blank where it says nothing.
    """
    whole = dataset_input(key, data, len(licences))
    own = Counter(said.strip() for said in licences if said and said.strip())
    delivered = whole.licence != published_terms(key) and UNKNOWN not in whole.licence
    if whole.synthetic or delivered:
        return (whole,)
    if UNCLEAR not in marks(whole.licence):
        own = Counter({terms: images for terms, images in own.items() if _adds(NON_COMMERCIAL, terms, whole.licence)})
    rest = len(licences) - own.total()
    told = (Input(name=key, licence=terms, images=images) for terms, images in own.items())
    return joined(told, (whole.model_copy(update={"images": rest}),) if rest or not own else ())


def _adds(mark: Mark, terms: str, known: str) -> bool:
    return mark in marks(terms) and mark not in marks(known)


def published_terms(key: str) -> str:
    """Return the terms that the provider of a data set publishes it under, as the catalogue knows them."""
    rows = [(row.key, row.licence) for row in SOURCES]
    rows += [(benchmark_dataset(row.key), row.licence) for row in BENCHMARKS]
    return dict(rows).get(key, UNKNOWN)
