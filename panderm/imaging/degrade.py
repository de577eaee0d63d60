"""Degradations of prepared images in five strengths each: blur, noise, JPEG, brightness, occlusion.

They act on what a network is given, uint8 (3, S, S), so a strength means the same whatever a camera delivered; lengths are
shares of the side. Strengths run from "a photographer would not mind" to "the lesion can barely be told"; they are ours (the
paper names kinds, no settings) and stand as data here.
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Degradation = Literal["blur", "noise", "jpeg", "dark", "bright", "occlusion"]
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
STRENGTHS = 5

_SETTINGS: dict[Degradation, tuple[float, ...]] = {
    "blur": (0.004, 0.008, 0.016, 0.03, 0.05),  # deviation of the Gaussian, as a share of the side
    "noise": (0.02, 0.05, 0.1, 0.2, 0.35),  # deviation, as a share of the range 0..255
    "jpeg": (60, 35, 20, 10, 5),  # quality
    "dark": (0.8, 0.65, 0.5, 0.35, 0.2),  # factor of every value
    "bright": (1.2, 1.4, 1.7, 2.1, 2.6),
    "occlusion": (0.02, 0.05, 0.1, 0.2, 0.35),  # share of the area that a grey square hides, its place drawn
}


def setting(kind: Degradation, strength: int) -> float:
    """Return what a strength (1 .. 5) of a degradation is set to."""
    return _SETTINGS[kind][strength - 1]


def degrade(image: Pixels, kind: Degradation, strength: int, rng: np.random.Generator) -> Pixels:
    """Return an image degraded.

    Args:
        image: uint8 (3, S, S), as prepared for a network.
        kind: what is done to it.
        strength: 0 (nothing) .. 5.
        rng: of noise and of an occlusion's place.
    """
    if strength == 0:
        return image
    value = setting(kind, strength)
    if kind == "blur":
        return _blur(image, value * image.shape[-1])
    if kind == "noise":
        return _bytes(image + rng.normal(scale=255 * value, size=image.shape))
    if kind == "jpeg":
        return _jpeg(image, round(value))
    if kind == "occlusion":
        return _occlude(image, value, rng)
    return _bytes(image.astype(np.float64) * value)


def _bytes(values: NDArray[np.float64]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


def _blur(image: Pixels, deviation: float) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return _bytes(gaussian_filter(image.astype(np.float64), sigma=(0, deviation, deviation), mode="nearest"))


def _jpeg(image: Pixels, quality: int) -> Pixels:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB")).transpose(2, 0, 1)


def _occlude(image: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    side = image.shape[-1]
    hidden = max(1, round(side * share**0.5))
    top, left = rng.integers(0, side - hidden + 1, size=2)
    covered = image.copy()
    covered[:, top : top + hidden, left : left + hidden] = 128
    return covered
