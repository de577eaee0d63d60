"""Test-time augmentation: random views of an image, of whose logits a fine-tuned classifier's answer is the mean.

Numbers are those of the public code's ``--TTA``, in its order: resize, centre crop, flips, rotation, colour. What a view looks
like depends on the image's bytes, a seed and the view's number alone, not on which images are asked beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from panderm.imaging.preprocessing import Preprocessing, prepare_bytes
from panderm.training.augment import shift_hue

_RESIZE = 246 / 224  # short side before the centre crop over the input's side; 256 : 224 without augmentation
_FLIP = 0.5  # probability in each direction
_ROTATION, _ANGLE = 0.3, 270.0  # probability, and the largest angle in degrees, counter-clockwise; the corners become black
_JITTER, _SATURATION, _HUE = 0.3, 0.25, 0.25  # probability, largest change of the saturation's factor, of the hue in turns


def random_views(data: bytes, spec: Preprocessing, count: int, seed: int) -> NDArray[np.uint8]:
    """Return ``count`` random views of an image file, uint8 (V, 3, S, S).

    Args:
        data: the file.
        spec: the model's preprocessing; its short side before the crop is not used.
        count: V.
        seed: of the draws.

    Raises:
        UndecodableImage: the bytes are not an image we accept.
    """
    pixels = prepare_bytes(data, replace(spec, resize=round(spec.size * _RESIZE)))
    square = Image.fromarray(pixels.transpose(1, 2, 0))
    image = int.from_bytes(hashlib.sha256(data).digest())
    return np.stack([_view(square, np.random.default_rng([seed, number, image])) for number in range(count)])


def _view(square: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    horizontal, vertical, rotated, angle, jittered, saturation, hue, order = rng.random(8)
    view = square
    if horizontal < _FLIP:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if vertical < _FLIP:
        view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if rotated < _ROTATION:
        view = view.rotate(angle * _ANGLE)
    if jittered < _JITTER:
        view = _jitter(view, 1 + (2 * saturation - 1) * _SATURATION, (2 * hue - 1) * _HUE, hue_first=order < 0.5)
    return np.asarray(view).transpose(2, 0, 1)


def _jitter(view: Image.Image, factor: float, turns: float, *, hue_first: bool) -> Image.Image:
    """Change saturation and hue, in either order, as torchvision's jitter does."""
    if hue_first:
        view = shift_hue(view, turns)
    view = ImageEnhance.Color(view).enhance(factor)
    return view if hue_first else shift_hue(view, turns)
