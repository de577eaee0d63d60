"""The one preprocessing description: bytes -> RGB -> resize -> centre crop -> uint8, and the mean and deviation after it.

This file depends on Pillow and numpy alone, because releases copy it verbatim into the Triton preprocessing model:
what serves is what trained. The description is written at training time (``preprocessing.json``) and travels with the
weights. Normalisation itself happens inside the ONNX graphs and the torch modules, never here.
"""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
"""The allow-list of delivered formats; everything else is refused by name."""

PIXEL_CAP = 50_000_000
"""Largest image decoded, in pixels; measured: the largest clinical cameras in use deliver 45 to 50 megapixels."""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class UndecodableImage(ValueError):
    """Bytes that are not an image we accept; ``reason`` is a quarantine reason code, the text one sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    Attributes:
        size: side of the square input, pixels (224: paper, Methods; smaller presets scale it).
        resize: the short side before the centre crop, pixels (256 : 224 in the official evaluation transform).
        interpolation: ``bilinear`` (official evaluation transform) or ``bicubic``; always with antialiasing.
        mean: per-channel mean of values in 0..1 (ImageNet).
        std: per-channel deviation of values in 0..1. ImageNet's 0.229 for red; the official evaluation code types 0.228,
            its training code 0.229 (docs/decisions/0004-preprocessing.md).
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def to_json(self) -> str:
        """Return the description as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Preprocessing:
        """Read a description written by :meth:`to_json`; unknown keys raise ``TypeError``."""
        values = json.loads(text)
        values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
        return cls(**values)


def decode(data: bytes, pixel_cap: int = PIXEL_CAP) -> Image.Image:
    """Return the image in ``data`` as RGB with its EXIF orientation applied and every tag dropped.

    Transparent pixels are laid on white; 16-bit and palette images become 8-bit RGB.

    Raises:
        UndecodableImage: with reason ``not_an_image``, ``format_not_allowed``, ``too_many_pixels`` or ``truncated``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is checked below
            image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UndecodableImage("too_many_pixels", f"{error}; at most {pixel_cap:,} pixels are decoded") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise UndecodableImage("not_an_image", "the bytes are not an image; send a JPEG or PNG file") from error
    if image.format not in FORMATS:
        raise UndecodableImage("format_not_allowed", f"the image is {image.format}; allowed: {', '.join(FORMATS)}")
    if image.width * image.height > pixel_cap:
        raise UndecodableImage(
            "too_many_pixels", f"the image is {image.width} x {image.height}; at most {pixel_cap:,} pixels are decoded"
        )
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise UndecodableImage(
            "truncated", f"the {image.format} data break off or are damaged ({error}); send it again"
        ) from error
    return _plain_rgb(ImageOps.exif_transpose(image))


def _plain_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    pixels = image.convert("RGB")
    return Image.frombytes("RGB", pixels.size, pixels.tobytes())  # a fresh image: no info, no EXIF, no ICC


def prepare(image: Image.Image, spec: Preprocessing) -> np.ndarray:
    """Return ``image`` (RGB) resized and centre-cropped to uint8 of shape (3, size, size), values 0..255."""
    scale = spec.resize / min(image.size)
    width, height = max(spec.size, round(image.width * scale)), max(spec.size, round(image.height * scale))
    left, top = (width - spec.size) // 2, (height - spec.size) // 2
    resized = image.resize((width, height), _RESAMPLING[spec.interpolation])
    return np.asarray(resized.crop((left, top, left + spec.size, top + spec.size))).transpose(2, 0, 1).copy()


def prepare_bytes(data: bytes, spec: Preprocessing) -> np.ndarray:
    """Return the image file ``data`` as uint8 (3, size, size); the whole path a served image takes.

    Raises:
        UndecodableImage: the bytes are not an image we accept.
    """
    return prepare(decode(data), spec)
