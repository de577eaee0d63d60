"""Images and their masks belong together: what is wrong with one of a pair keeps both out of the manifest."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from panderm.core.reasons import Reason
from panderm.core.tables import MASK
from panderm.readers import Delivery

_FACTS = ["width", "height", "shard"]


def hold_pairs(delivery: Delivery, ledger: pd.DataFrame) -> Delivery:
    """Return the delivery with the halves of bad pairs among its rejects (``bad_mask``); others stay as they are.

    A pair is bad when one half is not stored, or when the two have different sizes. The stored half stays in its shard, so
    that a later delivery can mend the pair. A half that is refused for its own bytes keeps that reason.

    Args:
        delivery: what the reader says.
        ledger: rows of the ledger.
    """
    rows = delivery.rows
    if not (rows["role"] == MASK).any():
        return delivery
    pairs = _pairs(rows.join(ledger[_FACTS], on="path"))
    sentences = pd.concat([_refused(pairs, "mask", "image"), _refused(pairs, "image", "mask")])
    bad = pd.DataFrame({"path": sentences.index, "reason": Reason.BAD_MASK.value, "detail": sentences.array})
    rejects = pd.concat([delivery.rejects, bad], ignore_index=True).sort_values(["path", "reason"], ignore_index=True)
    return replace(delivery, rows=rows[~rows["path"].isin(bad["path"])].reset_index(drop=True), rejects=rejects)


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a pair: ``path``, ``shard``, ``width`` and ``height``, each ``_mask`` and ``_image``; null where missing."""
    masks, images = rows[rows["role"] == MASK], rows[rows["role"] != MASK]
    columns = ["path", *_FACTS]
    left = masks[["mask_of", *columns]].rename(columns={name: f"{name}_mask" for name in columns})
    right = images[["image_id", *columns]].rename(columns={name: f"{name}_image" for name in columns})
    return left.merge(right, left_on="mask_of", right_on="image_id", how="left")


def _refused(pairs: pd.DataFrame, half: str, other: str) -> pd.Series:
    """Return path of a stored ``half`` -> why its pair is bad, for bad pairs."""
    stored, partner = pairs[f"shard_{half}"].notna(), pairs[f"shard_{other}"].notna()
    differ = partner & ((pairs["width_mask"] != pairs["width_image"]) | (pairs["height_mask"] != pairs["height_image"]))
    name = f"its {other} " + pairs[f"path_{other}"].fillna(pairs["mask_of"]).astype("string")
    unlike = f"the {half} has " + _size(pairs, half) + ", " + name + " has " + _size(pairs, other) + "; deliver the right mask"
    detail = unlike.where(differ, name + " was refused")[stored & (~partner | differ)]
    return pd.Series(detail.array, index=pairs.loc[detail.index, f"path_{half}"], dtype="string")


def _size(pairs: pd.DataFrame, half: str) -> pd.Series:
    width, height = (pairs[f"{side}_{half}"].astype("Int64").astype("string") for side in ("width", "height"))
    return width + " x " + height + " pixels"
