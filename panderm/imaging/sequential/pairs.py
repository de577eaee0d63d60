"""Which images of a lesion are compared: from images with a lesion and a time point to one row a pair."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

Pairing = Literal["consecutive", "first_and_last"]
MALIGNANT_CHANGE = "malignant_change"
"""Attribute of a delivery that says whether a change was a malignant one."""

_DATE = r"^(\d{4}-\d{2}-\d{2})(?:[T ].*)?$"
_PLACE = ("image_id", "shard", "offset", "nbytes", "stored_sha256")
_KEPT = ("group", "fold", "label", "target", "lesion_id", "age", "sex", "site", "skin_type")


class Sequences(NamedTuple):
    """The images that can be compared.

    Attributes:
        rows: those images, each with its lesion's time points told apart.
        left_out: how many were left out, by reason.
    """

    rows: pd.DataFrame
    left_out: dict[str, int]


def time_points(rows: pd.DataFrame) -> pd.Series:
    """Return when each image was taken as a number that grows within its lesion; NaN where nobody can say, or of what.

    A visit is a finite number (its rank, days, ...) or a date, year first (``2019-03-01``; a time of day does not count), which
    becomes its day. A lesion with visits of both kinds cannot be put in order, so it has none.

    Args:
        rows: columns ``lesion_id, visit`` (text).
    """
    number = pd.to_numeric(rows["visit"], errors="coerce").astype("float64")
    number = number.where(np.isfinite(number))
    text = rows["visit"].astype("string").str.strip().str.extract(_DATE, expand=False)
    day = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    days = (day - pd.Timestamp(0)).dt.days.astype("float64")
    lesion = rows["lesion_id"]
    mixed = number.notna().groupby(lesion).transform("any") & days.notna().groupby(lesion).transform("any")
    return number.fillna(days).where(lesion.notna() & ~mixed.fillna(False).astype(bool))


def first_of_each_time(rows: pd.DataFrame, time: pd.Series) -> pd.Series:
    """Return which rows count: of several images of a lesion at one time point the first by name.

    Args:
        rows: columns ``image_id, lesion_id``.
        time: of :func:`time_points`, not NaN.
    """
    ordered = rows.assign(_time=time).sort_values(["lesion_id", "_time", "image_id"], kind="stable")
    counts: pd.Series = ~ordered.duplicated(["lesion_id", "_time"])
    return counts.reindex(rows.index)


def sequences(rows: pd.DataFrame, classes: tuple[str, ...]) -> Sequences:
    """Return the images of lesions with two or more time points.

    The first image of a lesion has nothing to be compared with, so it needs no label: it takes that of the next one. Of several
    images of a lesion at one time point the first by name counts.

    Args:
        rows: columns ``image_id, lesion_id, visit`` (see :func:`time_points`), ``label``.
        classes: the task's labels.
    """
    time = time_points(rows)
    placed = rows[time.notna()].assign(_time=time)
    ordered = placed.sort_values(["lesion_id", "_time", "image_id"], kind="stable")
    first = ~ordered.duplicated("lesion_id")
    known = ordered["label"].where(ordered["label"].isin(classes))
    known = known.where(~first | known.notna(), known.groupby(ordered["lesion_id"]).shift(-1))
    labelled = ordered.assign(label=known)[known.notna()]
    single_time = labelled[first_of_each_time(labelled, labelled["_time"])]
    several = single_time[single_time.groupby("lesion_id")["image_id"].transform("size") > 1]
    left_out = {
        "without_time_point": len(rows) - len(placed),
        "unlabelled": len(placed) - len(labelled),
        "same_time_point": len(labelled) - len(single_time),
        "single_visit": len(single_time) - len(several),
    }
    return Sequences(several.drop(columns="_time").sort_index(), left_out)


def pairs_of(rows: pd.DataFrame, pairing: Pairing = "consecutive") -> pd.DataFrame:
    """Return one row a pair, sorted by ``image_id``, which is the pair's name: the two images' names joined by ``+``.

    Label, age and the like are the later image's. The columns ``first_*`` and ``second_*`` say where the two images are
    (``image_id, shard, offset, nbytes, stored_sha256``); ``malignant_change`` is 1, 0 or null.

    Args:
        rows: columns of a split; lesions with a single image make no pair.
        pairing: each image with the one before it, or the last image of a lesion with the first alone.
    """
    ordered = rows.assign(_time=time_points(rows)).sort_values(["lesion_id", "_time", "image_id"], kind="stable")
    lesion = ordered.groupby("lesion_id")
    place = lesion.cumcount()
    if pairing == "consecutive":
        later = ordered[place > 0]
        earlier = ordered.shift(1)[place > 0]
    else:
        last = (place == lesion["image_id"].transform("size") - 1) & (place > 0)
        later = ordered[last]
        earlier = ordered[place == 0].set_index("lesion_id").loc[later["lesion_id"]]
    columns: dict[str, Any] = {"image_id": earlier["image_id"].astype(str).to_numpy() + "+" + later["image_id"].to_numpy()}
    columns |= {name: later[name].to_numpy() for name in _KEPT}
    for side, images in (("first", earlier), ("second", later)):
        columns |= {f"{side}_{name}": images[name].to_numpy() for name in _PLACE}
    columns[MALIGNANT_CHANGE] = [_malignant(text) for text in later["attributes"]]
    frame = pd.DataFrame(columns).astype({MALIGNANT_CHANGE: "Int32"})
    return frame.sort_values("image_id", ignore_index=True)


def images_of(pairs: pd.DataFrame, side: Literal["first", "second"]) -> pd.DataFrame:
    """Return where the first or second image of each pair is, columns as in a split."""
    return pd.DataFrame({name: pairs[f"{side}_{name}"].to_numpy() for name in _PLACE})


def _malignant(attributes: object) -> int | None:
    """Return what a row's attributes say of a malignant change: 1, 0, or nothing."""
    if not isinstance(attributes, str):
        return None
    value = json.loads(attributes).get(MALIGNANT_CHANGE)
    return None if value is None or (isinstance(value, float) and np.isnan(value)) else int(value)
