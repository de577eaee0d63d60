"""Images with their masks as a network sees them, what is made of its answer, and how that comes back onto the picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from panderm.core.errors import InputError
from panderm.core.progress import progress
from panderm.imaging.batches import Row, image_rows
from panderm.imaging.preprocessing import DAMAGED, Preprocessing, UndecodableImage, prepare_bytes
from panderm.imaging.shards import ShardReader

Mask = NDArray[np.bool_]

THRESHOLD = 0.5
"""Probability above which a pixel is of the foreground: the likelier of two classes, which is what is trained and judged."""

_OUTLINE = (255, 140, 26)  # orange, as in the pictures of an evaluation
_WIDTHS = 300  # an outline is a pixel wide for every so many of the picture's short side, so that it is seen at any size


def squeezed(spec: Preprocessing) -> Preprocessing:
    """Return a preprocessing that squeezes a picture to its square instead of cropping it (public code; bicubic likewise).

    A short side of 0 asks for nothing, so :func:`panderm.imaging.preprocessing.prepare` makes both sides as long as the square.
    That is said here and not there because releases copy that file: another word in it is another component of every served
    model.
    """
    return replace(spec, resize=0, interpolation="bicubic")


def load_pairs(frame: pd.DataFrame, data: Path, spec: Preprocessing, what: str = "masks") -> tuple[NDArray[np.uint8], Mask]:
    """Return images (N, 3, S, S) uint8 and masks (N, S, S), both squeezed to the square as the public code does.

    Args:
        frame: rows of a segmentation task's ``split.parquet``.
        data: folder of the published datasets.
        spec: of the network; its size is S, and it is made to squeeze.
        what: title of the progress bar.

    Raises:
        InputError: a file is missing or damaged, or a mask marks no pixel; the image is named.
    """
    spec, size = squeezed(spec), spec.size
    images = np.empty((len(frame), 3, size, size), dtype=np.uint8)
    masks = np.empty((len(frame), size, size), dtype=bool)
    reader = ShardReader(data)
    try:
        pictures = zip(image_rows(frame), mask_rows(frame), strict=True)
        for number, (picture_row, mask_row) in enumerate(progress(pictures, what=what, total=len(frame), unit="img")):
            images[number] = _prepared(reader, spec, *picture_row)
            masks[number] = _squeezed(_open(reader, *mask_row), size)
            if not masks[number].any():
                raise InputError(f"the mask of {picture_row[0]} marks no pixel; deliver its mask again and ingest")
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


def _prepared(reader: ShardReader, spec: Preprocessing, name: str, shard: str, offset: int, nbytes: int) -> NDArray[np.uint8]:
    """Return a picture (3, S, S) by the path that a served one takes."""
    try:
        pixels: NDArray[np.uint8] = prepare_bytes(reader.read(shard, offset, nbytes), spec)
    except UndecodableImage as error:
        raise _unreadable(name, shard, error) from error
    return pixels


def _open(reader: ShardReader, name: str, shard: str, offset: int, nbytes: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(reader.read(shard, offset, nbytes))).convert("RGB")
    except (Image.DecompressionBombError, *DAMAGED) as error:
        raise _unreadable(name, shard, error) from error


def _unreadable(name: str, shard: str, error: Exception) -> InputError:
    return InputError(f"{name} in {shard} cannot be read ({error}); publish its dataset again")


def marked(probabilities: NDArray[np.float32]) -> Mask:
    """Return the mask (H, W) that a network's probabilities of the foreground (H, W) come to, cleaned."""
    return cleaned(probabilities > THRESHOLD)


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


def unsqueezed(mask: Mask, width: int, height: int) -> Mask:
    """Return a mask (S, S) over the whole picture that was squeezed, (height, width).

    Every pixel gets its nearest of the square, so that nothing is marked that was not judged. Squeezed again it is the same
    mask, if the picture is at least as large as the square.
    """
    pixels: Mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    return pixels


def as_png(mask: Mask) -> bytes:
    """Return a mask (H, W) as a grey PNG file: 255 where it marks, 0 elsewhere."""
    return _png(Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)))


def overlay_png(picture: Image.Image, mask: Mask) -> bytes:
    """Return a picture (RGB) with the outline of its mask (H, W) drawn inside the mask's edge, as a PNG file."""
    inner = ndimage.binary_erosion(mask, iterations=max(1, min(picture.size) // _WIDTHS))
    pixels = np.asarray(picture).copy()
    pixels[mask & ~inner] = _OUTLINE
    return _png(Image.fromarray(pixels))


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
