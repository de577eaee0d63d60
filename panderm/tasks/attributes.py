"""What a layout says of an image beyond the named columns: the split's ``attributes``, JSON by name, as columns."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from panderm.core.errors import InputError


def attributes(rows: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the values of ``names`` in each row, null where a row has none; columns of objects, index of ``rows``.

    Args:
        rows: columns ``image_id`` and ``attributes``.
        names: which to take.

    Raises:
        InputError: an image's attributes are not JSON by name.
    """
    wanted = list(names)
    found = []
    for image, text in zip(rows["image_id"], rows["attributes"], strict=True):
        values = _parsed(str(image), text) if isinstance(text, str) else {}
        found.append([values.get(name) for name in wanted])
    return pd.DataFrame(found, columns=wanted, index=rows.index, dtype=object)


def numbers(rows: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return :func:`attributes` as float64; null where a row has none.

    Raises:
        InputError: an image's attributes are not JSON by name, or one of the values is no number.
    """
    frame, wrong = readable_numbers(rows, names)
    if (said := example(rows, wrong)) is not None:
        raise InputError(f"{said}; mend the delivery")
    return frame


def readable_numbers(rows: pd.DataFrame, names: Iterable[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return :func:`attributes` as float64, null where a row has no number, and what stands in its place, null elsewhere.

    Raises:
        InputError: an image's attributes are not JSON by name.
    """
    raw = attributes(rows, names)
    frame: pd.DataFrame = raw.apply(pd.to_numeric, errors="coerce").astype("float64")
    return frame, raw.where(frame.isna())


def example(rows: pd.DataFrame, wrong: pd.DataFrame) -> str | None:
    """Say of the first of ``wrong`` (of :func:`readable_numbers`) what stands there; None if nothing is wrong."""
    rowwise, column = np.nonzero(wrong.notna().to_numpy())
    if not len(rowwise):
        return None
    first, name = int(rowwise[0]), wrong.columns[column[0]]
    return f"image {rows['image_id'].iloc[first]} has {name} {wrong[name].iloc[first]!r}, but a number is needed"


def _parsed(image: str, text: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the attributes of image {image} are not JSON ({error}); ingest its dataset again") from error
    if not isinstance(values, dict):
        raise InputError(f"the attributes of image {image} are a {type(values).__name__}, not values by name; ingest again")
    return values
