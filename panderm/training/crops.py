"""One random-resized crop, rendered at several sizes from one decoding.

Crops are decided on the stored image's size before its pixels are decoded; a JPEG is then decoded at the smallest of the
decoder's scales (1/1, 1/2, 1/4, 1/8) that still has at least the pixels asked for, which saves most of the decoding of
large photographs.
"""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from panderm.training.recipe import Augmentation

_RATIO = (3 / 4, 4 / 3)  # width over height (torchvision's and the recipe's default)
_TRIES = 10  # before the centre crop (torchvision's and the recipe's)
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


class Box(NamedTuple):
    """A crop in pixels of the stored image."""

    left: int
    top: int
    width: int
    height: int


def draw_box(width: int, height: int, augmentation: Augmentation, rng: np.random.Generator) -> Box:
    """Draw a crop of a width x height image: area share and log-uniform aspect, the centre after ten misses."""
    for _ in range(_TRIES):
        u, v, x, y = rng.random(4)
        area = width * height * (augmentation.crop_min + (augmentation.crop_max - augmentation.crop_min) * u)
        aspect = math.exp(math.log(_RATIO[0]) + (math.log(_RATIO[1]) - math.log(_RATIO[0])) * v)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(x * (width - w + 1)), int(y * (height - h + 1)), w, h)
    w = min(width, round(height * _RATIO[1]))
    h = min(height, round(width / _RATIO[0]))
    return Box((width - w) // 2, (height - h) // 2, w, h)


def render(data: bytes, sizes: tuple[int, ...], augmentation: Augmentation, rng: np.random.Generator) -> list[np.ndarray]:
    """Crop, flip and resize one stored image file.

    Args:
        data: a JPEG or PNG as ingest stored it (RGB, upright, without tags).
        sizes: sides of the squares to render, pixels; equal sizes are rendered once.
        augmentation: the recipe's.
        rng: the sample's own generator.

    Returns:
        For each size a uint8 array (3, size, size), all of the same crop.
    """
    with Image.open(io.BytesIO(data)) as image:
        full = image.size
        box = draw_box(*full, augmentation, rng)
        flip = bool(rng.random() < augmentation.flip)
        least = max(sizes) / min(box.width, box.height)
        if least < 1:
            image.draft("RGB", (math.ceil(full[0] * least), math.ceil(full[1] * least)))
        pixels = image.convert("RGB")
    pixels = _jitter(pixels, augmentation.jitter, rng)
    across, down = pixels.width / full[0], pixels.height / full[1]
    region = (box.left * across, box.top * down, (box.left + box.width) * across, (box.top + box.height) * down)
    resampling = _RESAMPLING[augmentation.interpolation]
    rendered: dict[int, np.ndarray] = {}
    for size in sizes:
        if size not in rendered:
            square = np.asarray(pixels.resize((size, size), resampling, box=region))
            rendered[size] = np.ascontiguousarray((square[:, ::-1] if flip else square).transpose(2, 0, 1))
    return [rendered[size] for size in sizes]


def _jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    if not strength:
        return image
    for which in rng.permutation(len(_ENHANCERS)):
        image = _ENHANCERS[which](image).enhance(float(rng.uniform(1 - strength, 1 + strength)))
    return image
