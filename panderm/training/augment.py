"""The fine-tuning augmentation on one image: crop, flips, rotation, hue. Every random number comes from one generator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panderm.imaging.preprocessing import Preprocessing
from panderm.training.finetune_recipe import FineTuneAugmentation

_RATIO = (3 / 4, 4 / 3)  # width over height of a crop (torchvision's default, which the public code takes)
_TRIES = 10  # before the centre crop (torchvision's)
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def short_side(image: Image.Image, spec: Preprocessing) -> Image.Image:
    """Return ``image`` with its short side resized to ``spec.resize``: the first step, the same in every epoch."""
    scale = spec.resize / min(image.size)
    size = (max(spec.size, round(image.width * scale)), max(spec.size, round(image.height * scale)))
    return image.resize(size, _RESAMPLING[spec.interpolation])


def augment(
    image: Image.Image, spec: Preprocessing, augmentation: FineTuneAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return one random view of a resized RGB image as uint8 (3, S, S)."""
    box = _crop(image.width, image.height, augmentation, rng)
    horizontal, vertical, turn, shift = rng.random(4)
    view = image.resize((spec.size, spec.size), _RESAMPLING[spec.interpolation], box=box)
    if horizontal < augmentation.horizontal_flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if vertical < augmentation.vertical_flip:
        view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if augmentation.rotation:
        view = view.rotate((2 * turn - 1) * augmentation.rotation)
    if augmentation.hue:
        view = shift_hue(view, (2 * shift - 1) * augmentation.hue)
    return np.asarray(view).transpose(2, 0, 1).copy()


def _crop(width: int, height: int, augmentation: FineTuneAugmentation, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a crop: area share and log-uniform aspect; after ten misses the largest centre crop of an allowed aspect."""
    for _ in range(_TRIES):
        u, v, x, y = rng.random(4)
        area = width * height * (augmentation.crop_min + (augmentation.crop_max - augmentation.crop_min) * u)
        aspect = math.exp(math.log(_RATIO[0]) + (math.log(_RATIO[1]) - math.log(_RATIO[0])) * v)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * _RATIO[1])), min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def shift_hue(image: Image.Image, turns: float) -> Image.Image:
    """Return an RGB image with its hue shifted by so many turns of the colour circle, -1 .. 1."""
    hue, saturation, value = image.convert("HSV").split()
    shifted = (np.asarray(hue).astype(np.int16) + round(turns * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(shifted.astype(np.uint8)), saturation, value)).convert("RGB")
