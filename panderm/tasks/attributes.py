"""What a layout says of an image beyond the named columns: the split's ``attributes``, JSON by name, as columns."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable

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
    if wrong:
        raise InputError(f"{next(iter(wrong.values()))}; mend the delivery")
    return frame


def readable_numbers(rows: pd.DataFrame, names: Iterable[str]) -> tuple[pd.DataFrame, dict[Hashable, str]]:
    """Return :func:`attributes` as float64, null where a row has no number, and what rows with something else in its place say.

    The sentences are by index of the row, one each.

    Raises:
        InputError: an image's attributes are not JSON by name.
    """
    raw = attributes(rows, names)
    frame: pd.DataFrame = raw.apply(pd.to_numeric, errors="coerce").astype("float64")
    wrong: dict[Hashable, str] = {}
    for row, column in zip(*np.nonzero((raw.notna() & frame.isna()).to_numpy()), strict=True):
        said = f"image {rows['image_id'].iloc[row]} has {raw.columns[column]} {raw.iloc[row, column]!r}"
        wrong.setdefault(raw.index[row], f"{said}, but a number is needed")
    return frame, wrong


def _parsed(image: str, text: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the attributes of image {image} are not JSON ({error}); ingest its dataset again") from error
    if not isinstance(values, dict):
        raise InputError(f"the attributes of image {image} are a {type(values).__name__}, not values by name; ingest again")
    return values
