"""Images and their masks, paired by name: ``<id>.jpg`` and ``<id>_segmentation.png``, ``<id>_mask.png`` or ``<id>.png``."""

from __future__ import annotations

import re

import pandas as pd

from panderm.core.reasons import Reason
from panderm.core.tables import IMAGE, MASK
from panderm.readers.sorting import Sorter, stems

_ENDING = re.compile(r"(_(segmentation|mask))?(\.[^./]+)?$", re.IGNORECASE)


def of_image(path: str) -> str:
    """Return the name, without folder and ending, of the image that a mask's file name belongs to."""
    return _ENDING.sub("", path.rsplit("/", 1)[-1])


def place_pairs(sorter: Sorter, rows: pd.DataFrame, masks: list[str]) -> None:
    """Put images and their masks on the pile of rows.

    Refused are a mask without an image in ``rows`` and a second mask (``bad_mask``), and an image without a mask, which a
    segmentation cannot use (``out_of_scope``). Whether sizes agree is seen when the files are opened.

    Args:
        sorter: of the delivery.
        rows: images to take, columns of ``DELIVERED`` with ``path``; the mask gets everything else from its image.
        masks: paths of masks.
    """
    names = pd.Series([of_image(path).casefold() for path in masks], index=masks, dtype="object")
    found = pd.DataFrame({"mask": masks, "key": names.array, "again": names.duplicated().array})
    images = rows.assign(key=stems(rows["path"]).str.casefold(), role=IMAGE)
    sorter.reject(found["mask"][found["again"]], Reason.BAD_MASK, "it is a second mask of one image; the first counts")
    first = found[~found["again"]]
    pairs = images.merge(first[["key", "mask"]], on="key", how="left")
    lacking = pairs["mask"].isna()
    sorter.reject(pairs["path"][lacking], Reason.OUT_OF_SCOPE, "no mask of it was delivered")
    lost = first["mask"][~first["key"].isin(images["key"])]
    sorter.reject(lost, Reason.BAD_MASK, "its image was not delivered, or was refused")
    whole = pairs[~lacking].drop(columns="key")
    marked = whole.assign(path=whole["mask"], role=MASK, mask_of=whole["image_id"], image_id=whole["image_id"] + "_mask")
    sorter.accept(pd.concat([whole, marked], ignore_index=True).drop(columns="mask"))
