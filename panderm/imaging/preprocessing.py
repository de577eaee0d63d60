"""The one preprocessing description: bytes -> RGB -> resize -> centre crop -> uint8, and the mean and deviation after it.

This file depends on Pillow and numpy alone, because releases copy it verbatim into the Triton preprocessing model:
what serves is what trained. The description is written at training time (``preprocessing.json``) and travels with the
weights. Normalisation itself happens inside the ONNX graphs and the torch modules, never here.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
"""The allow-list of delivered formats; everything else is refused by name."""

_REFUSED = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP",
    b"%PDF": "PDF",
    b"\0\0\0\x0cjP": "JPEG 2000",
}
"""First bytes of what is delivered by mistake, to refuse it by name; no decoder of these is ever called."""

PIXEL_CAP = 50_000_000
"""Largest image decoded, in pixels; measured: the largest clinical cameras in use deliver 45 to 50 megapixels."""

_PROFILE_CAP = 4 << 20  # bytes; the largest profiles, of printing presses, have 2 to 3 MB
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, struct.error)
"""What Pillow raises for damaged headers, pixels and tags; found by flipping bytes (tests/imaging/test_preprocessing.py)."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the picture upright."""

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
    """Return the image in ``data`` as sRGB, upright, with every tag dropped.

    The EXIF orientation is applied and a colour profile converted from (phones deliver Display P3); transparent pixels
    are laid on white; 16-bit and palette images become 8-bit RGB. Of several pictures in a file the first counts.

    Raises:
        UndecodableImage: with reason ``not_an_image``, ``format_not_allowed``, ``too_many_pixels`` or ``truncated``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged tags are dropped with all others; the pixel cap is checked below
        image = _open(data, pixel_cap)
        if image.width * image.height > pixel_cap:
            seen = f"the image is {image.width} x {image.height}"
            raise UndecodableImage("too_many_pixels", f"{seen}; at most {pixel_cap:,} pixels are decoded")
        try:
            image.load()
        except DAMAGED as error:
            raise UndecodableImage("truncated", f"the data break off or are damaged ({error}); send the file again") from error
        return _upright(image, _plain_rgb(image))


def _open(data: bytes, pixel_cap: int) -> Image.Image:
    """Read the header with the decoders of :data:`FORMATS` alone (a JPEG of several pictures is a JPEG too)."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        sentence = f"the image has far more than {pixel_cap:,} pixels, the most that are decoded"
        raise UndecodableImage("too_many_pixels", sentence) from error
    except (UnidentifiedImageError, *DAMAGED) as error:
        known = [name for start, name in _REFUSED.items() if data.startswith(start)]
        known += ["HEIC or another ISO media file"] if data[4:8] == b"ftyp" else []
        known += ["DICOM"] if data[128:132] == b"DICM" else []
        if known:
            raise UndecodableImage("format_not_allowed", f"the file is {known[0]}; allowed: {', '.join(FORMATS)}") from error
        raise UndecodableImage("not_an_image", "the bytes are not an image; send a JPEG or PNG file") from error


def _plain_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")
    pixels = _from_profile(image, profile) if profile and len(profile) <= _PROFILE_CAP else image.convert("RGB")
    return Image.frombytes("RGB", pixels.size, pixels.tobytes())  # a fresh image: no info, no EXIF, no ICC


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Return ``image`` in sRGB; a profile that is damaged or not for these channels counts as none."""
    plain = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    try:
        delivered = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(delivered):
            return plain.convert("RGB")
        converted = ImageCms.profileToProfile(plain, delivered, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *DAMAGED):
        return plain.convert("RGB")
    assert converted is not None  # only in-place conversion returns nothing
    return converted


def _upright(delivered: Image.Image, pixels: Image.Image) -> Image.Image:
    """Return ``pixels`` turned as the delivered image's tags say; damaged tags say nothing."""
    try:
        orientation = delivered.getexif().get(0x0112)
    except DAMAGED:
        return pixels
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else pixels.transpose(turn)


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
