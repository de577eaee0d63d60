"""Images with their masks, resized for a network, and what is made of a predicted mask before it is measured."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from panderm.core.errors import InputError
from panderm.core.progress import progress
from panderm.imaging.batches import Row, image_rows
from panderm.imaging.shards import ShardReader

Mask = NDArray[np.bool_]


def load_pairs(frame: pd.DataFrame, data: Path, size: int, what: str = "masks") -> tuple[NDArray[np.uint8], Mask]:
    """Return images (N, 3, S, S) uint8 and masks (N, S, S), both squeezed to the square as the public code does.

    Args:
        frame: rows of a segmentation task's ``split.parquet``.
        data: folder of the published datasets.
        size: S, pixels.
        what: title of the progress bar.

    Raises:
        InputError: a file is missing or damaged, or a mask marks no pixel; the image is named.
    """
    images = np.empty((len(frame), 3, size, size), dtype=np.uint8)
    masks = np.empty((len(frame), size, size), dtype=bool)
    reader = ShardReader(data)
    try:
        pictures = zip(image_rows(frame), mask_rows(frame), strict=True)
        for number, (picture_row, mask_row) in enumerate(progress(pictures, what=what, total=len(frame), unit="img")):
            picture, mask = _open(reader, *picture_row), _open(reader, *mask_row)
            image_id = picture_row[0]
            images[number] = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
            masks[number] = _squeezed(mask, size)
            if not masks[number].any():
                raise InputError(f"the mask of {image_id} marks no pixel; deliver its mask again and ingest")
    finally:
        reader.close()
    return images, masks


def _squeezed(mask: Image.Image, size: int) -> Mask:
    """Return a mask as (S, S) by its nearest pixels; where a small one falls between them, the pixels that hold most of it.

    So a lesion that marks a pixel marks one at any size, and every other mask is as the public code's.
    """
    grey = mask.convert("L")
    nearest = np.asarray(grey.resize((size, size), Image.Resampling.NEAREST)) >= 128
    if nearest.any():
        return nearest
    marked = np.asarray(grey) >= 128
    share = np.asarray(Image.fromarray(marked.astype(np.float32)).resize((size, size), Image.Resampling.BOX))
    held: Mask = (share > 0) & (share == share.max())
    return held


def mask_rows(frame: pd.DataFrame) -> Iterator[Row]:
    """Yield where the mask of each image of a split is: its name, shard, offset, nbytes."""
    return image_rows(
        pd.DataFrame(
            {
                "image_id": "mask of " + frame["image_id"],
                "shard": frame["mask_shard"],
                "offset": frame["mask_offset"],
                "nbytes": frame["mask_nbytes"],
            }
        )
    )


def _open(reader: ShardReader, name: str, shard: str, offset: int, nbytes: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(reader.read(shard, offset, nbytes))).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{name} in {shard} cannot be read ({error}); publish its dataset again") from error


def cleaned(mask: Mask) -> Mask:
    """Return a predicted mask (H, W) with only its largest piece, without holes (paper, Methods, Segmentation)."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    filled: Mask = ndimage.binary_fill_holes(pieces == 1 + int(sizes.argmax()))
    return filled


def overlap(predicted: Mask, true: Mask) -> tuple[float, float]:
    """Return Dice and Jaccard of two masks (H, W); two empty ones agree (1, 1)."""
    both, either = int((predicted & true).sum()), int((predicted | true).sum())
    if not either:
        return 1.0, 1.0
    return 2 * both / (int(predicted.sum()) + int(true.sum())), both / either
