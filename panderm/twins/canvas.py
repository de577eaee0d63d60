"""Seeds, smooth noise and blending: the brushes every picture is drawn with.

Shapes: H W = canvas height and width in pixels; colours are reflectances 0..1 in RGB, float32, channels first, because
that is what numpy is quick at.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Plane = NDArray[np.floating[Any]]  # (H, W)
Colours = NDArray[np.floating[Any]]  # (3, H, W)
Rng = np.random.Generator

MELANIN = np.array([0.30, 0.62, 0.88], dtype=np.float32)
"""Absorbance of brown pigment in red, green, blue: it darkens blue most."""
BLOOD = np.array([0.10, 0.72, 0.55], dtype=np.float32)
"""Absorbance of blood in red, green, blue: it darkens green most."""


def seed_of(*parts: object) -> int:
    """Return a 64-bit seed for a name made of ``parts``; the same everywhere, unlike ``hash``."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


@lru_cache(maxsize=32)
def grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Return y and x of every pixel, each (H, W), in short sides from the centre (-0.5..0.5 on the short side)."""
    short = min(height, width)
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / short
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / short
    return np.repeat(y[:, None], width, axis=1), np.repeat(x[None, :], height, axis=0)


def noise(rng: Rng, shape: tuple[int, ...], cell: float) -> Plane:
    """Return smooth noise (H, W) of mean about 0 and deviation about 1, with features of ``cell`` pixels."""
    return enlarge(_coarse(rng, shape, cell), shape) * np.float32(1.35)  # interpolation flattens it by about that much


def fractal(rng: Rng, shape: tuple[int, ...], cells: tuple[float, ...]) -> Plane:
    """Return a sum of :func:`noise` over falling feature sizes, each half as strong as the one before, deviation about 1."""
    total = _coarse(rng, shape, cells[0])
    for octave, cell in enumerate(cells[1:], start=1):
        finer = _coarse(rng, shape, cell) * np.float32(0.5**octave)
        total = enlarge(total, finer.shape) + finer
    scale = 1.35 / sum(0.25**octave for octave in range(len(cells))) ** 0.5
    return enlarge(total, shape) * np.float32(scale)


def _coarse(rng: Rng, shape: tuple[int, ...], cell: float) -> Plane:
    height, width = shape
    return rng.standard_normal((max(4, round(height / cell) + 3), max(4, round(width / cell) + 3)), dtype=np.float32)


def enlarge(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Return a coarse plane drawn smoothly at the size ``shape`` (H, W)."""
    drawn = Image.fromarray(plane.astype(np.float32, copy=False))
    return np.asarray(drawn.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)


def smoothstep(values: Plane, low: float, high: float) -> Plane:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between."""
    t: Plane = np.clip((values - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def absorb(base: Colours, density: Plane, spectrum: NDArray[np.float32]) -> Colours:
    """Return ``base`` seen through pigment of ``density`` (H, W); a negative density lightens."""
    seen: Colours = base * np.exp(density * -spectrum[:, None, None])
    return seen


def blend(base: Colours, colour: tuple[float, float, float], alpha: Plane) -> Colours:
    """Return ``base`` with ``colour`` laid over it, ``alpha`` (H, W) in 0..1."""
    return base + alpha * (np.asarray(colour, dtype=np.float32)[:, None, None] - base)


def dots(rng: Rng, shape: tuple[int, ...], centres: NDArray[np.float64], radius: tuple[float, float]) -> Plane:
    """Return round marks (H, W), 0..1 with soft edges, at ``centres`` (N, 2) as x, y in pixels, radii in pixels."""
    sheet = Image.new("L", (shape[1] * 2, shape[0] * 2))
    pen = ImageDraw.Draw(sheet)
    for x, y in centres * 2.0:
        r = 2.0 * rng.uniform(*radius)
        stretch = rng.uniform(0.8, 1.25)
        pen.ellipse((x - r * stretch, y - r / stretch, x + r * stretch, y + r / stretch), fill=int(rng.uniform(170, 255)))
    return shrink(sheet)


def strokes(shape: tuple[int, ...], lines: list[NDArray[np.float64]], widths: list[int]) -> Plane:
    """Return polylines (each (N, 2) of x, y in pixels) as a plane (H, W), 0..1; widths in half pixels."""
    sheet = Image.new("L", (shape[1] * 2, shape[0] * 2))
    pen = ImageDraw.Draw(sheet)
    for line, width in zip(lines, widths, strict=True):
        pen.line([tuple(point) for point in (line * 2.0).tolist()], fill=255, width=width, joint="curve")
    return shrink(sheet)


def shrink(sheet: Image.Image) -> Plane:
    """Return a mask drawn at twice the size as a plane (H, W), 0..1."""
    return np.asarray(sheet.reduce(2), dtype=np.float32) / 255.0


def curve(
    start: NDArray[np.float64], bend: NDArray[np.float64], end: NDArray[np.float64], points: int = 12
) -> NDArray[np.float64]:
    """Return a quadratic Bezier curve as (points, 2)."""
    t = np.linspace(0.0, 1.0, points)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end


def to_image(colours: Colours) -> Image.Image:
    """Return reflectances as an 8-bit RGB image."""
    pixels = (np.clip(colours, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def to_colours(image: Image.Image) -> Colours:
    """Return an 8-bit RGB image as reflectances."""
    return np.ascontiguousarray(np.asarray(image, dtype=np.float32).transpose(2, 0, 1)) / np.float32(255.0)
