"""Skin under the microscope, stained with haematoxylin (violet: nuclei) and eosin (pink: fibres and cytoplasm)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from panderm.twins.canvas import Colours, Plane, Rng, fractal, grid, noise, shrink, smoothstep

_HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], dtype=np.float32)
_EOSIN = np.array([0.17, 0.80, 0.40], dtype=np.float32)
"""Optical densities of the stains in red, green, blue: haematoxylin of Ruifrok and Johnston (2001), eosin by eye."""

TISSUES = ("subcutaneous fat", "reticular dermis", "epidermis", "melanoma", "naevus", "inflammation")


def draw(rng: Rng, shape: tuple[int, int], tissue: str, stain: Rng) -> Colours:
    """Return a tile (3, H, W) of one of :data:`TISSUES`; ``stain`` is the laboratory's, the same for all its tiles."""
    violet, pink = _PAINTERS[tissue](rng, shape)
    violet = violet * stain.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08)
    pink = pink * stain.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08)
    haematoxylin = _HAEMATOXYLIN + stain.normal(0, 0.04, 3).astype(np.float32)
    glass = np.float32(0.955) + 0.006 * noise(rng, shape, 3)
    density = violet * haematoxylin[:, None, None] + pink * _EOSIN[:, None, None]
    tile: Colours = (glass * np.exp(-density)).astype(np.float32)
    return tile


def nuclei(rng: Rng, shape: tuple[int, int], where: Plane, count: int, size: tuple[float, float], *, stretch: float) -> Plane:
    """Return about ``count`` nuclei (H, W), 0..1, where the plane ``where`` (0..1) allows; radii ``size`` in pixels."""
    sheet = Image.new("L", (shape[1] * 2, shape[0] * 2))
    pen = ImageDraw.Draw(sheet)
    points = rng.uniform(0, 1, (count, 2)) * np.array([shape[1] - 1, shape[0] - 1])
    allowed = where[points[:, 1].astype(int), points[:, 0].astype(int)] > rng.uniform(0.05, 1.0, count)
    for x, y in points[allowed]:
        pen.polygon(_ellipse(rng, 2 * x, 2 * y, 2 * rng.uniform(*size), stretch), fill=int(rng.uniform(130, 255)))
    grain = np.clip(0.85 + 0.25 * noise(rng, shape, 2.2), 0.3, 1.3)
    cells: Plane = shrink(sheet) * grain
    return cells


def _ellipse(rng: Rng, x: float, y: float, radius: float, stretch: float) -> list[tuple[float, float]]:
    turn, long = rng.uniform(0, np.pi), radius * rng.uniform(1.0, stretch) ** 0.5
    short = radius**2 / long
    t = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ex, ey = long * np.cos(t), short * np.sin(t)
    px, py = x + ex * np.cos(turn) - ey * np.sin(turn), y + ex * np.sin(turn) + ey * np.cos(turn)
    return list(zip(px.tolist(), py.tolist(), strict=True))


def _fibres(rng: Rng, shape: tuple[int, int], coarse: float) -> Plane:
    """Return wavy bundles of collagen (H, W), 0..1, with clefts between them."""
    y, x = grid(*shape)
    warp = 0.10 * noise(rng, shape, min(shape) / 1.8) + 0.025 * noise(rng, shape, min(shape) / 6)
    angle = rng.uniform(0, np.pi)
    phase = (x * np.cos(angle) + y * np.sin(angle) + warp) * coarse
    bundles = 0.5 + 0.5 * np.cos(2 * np.pi * phase + 1.2 * noise(rng, shape, min(shape) / 9))
    strands = 0.5 + 0.5 * np.cos(2 * np.pi * phase * 4.3 + noise(rng, shape, min(shape) / 12))
    cleft = smoothstep(bundles + 0.3 * noise(rng, shape, 9), -0.05, 0.45)
    bundled: Plane = (0.25 + 0.75 * cleft) * (0.72 + 0.28 * strands) * (0.85 + 0.12 * noise(rng, shape, 18))
    return bundled


def _everywhere(shape: tuple[int, int]) -> Plane:
    return np.ones(shape, dtype=np.float32)


def _fat(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Paint fat: empty cells behind thin walls, a few nuclei squeezed into the corners."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x = y + 1.5 * noise(rng, shape, 14), x + 1.5 * noise(rng, shape, 14)
    first = np.full(shape, np.inf, dtype=np.float32)
    second = first.copy()
    for cx, cy in _jittered(rng, shape, rng.uniform(17, 25)):
        distance = np.hypot(x - np.float32(cx), y - np.float32(cy))
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    gap = second - first
    wall, corner = 1.0 - smoothstep(gap, 0.6, 2.6), 1.0 - smoothstep(gap, 0.0, 3.5)
    septum = smoothstep(noise(rng, shape, min(shape) / 1.6), 1.0, 1.5) * _fibres(rng, shape, 9)
    violet = nuclei(rng, shape, corner, 420, (1.2, 2.4), stretch=3.0) * 0.9 + 0.12 * wall + 0.1 * septum
    return violet, 0.5 * wall + 0.6 * septum + 0.02


def _jittered(rng: Rng, shape: tuple[int, int], step: float) -> NDArray[np.float64]:
    ys, xs = np.mgrid[-step : shape[0] + step : step, -step : shape[1] + step : step]
    points = np.stack([xs.ravel(), ys.ravel()], axis=1)
    return points + rng.normal(0, 0.28 * step, points.shape)


def _dermis(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    fibres = _fibres(rng, shape, rng.uniform(7, 11))
    violet = nuclei(rng, shape, fibres, int(rng.integers(25, 60)), (1.4, 2.4), stretch=6.0)
    return 0.85 * violet + 0.05 * fibres, 0.62 * fibres + 0.04


def _epidermis(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Paint the surface: horn, a band packed with nuclei that dips into ridges, dermis below."""
    y, _ = grid(*shape)
    bottom = 0.12 + 0.10 * noise(rng, shape, min(shape) / 4)[:1] + 0.03 * noise(rng, shape, 12)
    top = -0.28 + 0.04 * noise(rng, shape, min(shape) / 3)[:1]
    band = smoothstep(y - top, 0.0, 0.03) * (1.0 - smoothstep(y - bottom, 0.0, 0.03))
    horn = smoothstep(y - top, -0.12, -0.10) * (1.0 - smoothstep(y - top, -0.01, 0.01)) * (0.5 + 0.4 * np.cos(130 * (y - top)))
    below = smoothstep(y - bottom, 0.0, 0.04)
    violet, pink = _dermis(rng, shape)
    basal = np.exp(-(((y - bottom + 0.02) / 0.03) ** 2)).astype(np.float32)
    cells = nuclei(rng, shape, np.clip(band * (0.45 + basal), 0, 1), 900, (2.0, 3.2), stretch=1.8)
    return below * violet + 0.95 * cells + 0.18 * band, below * pink + 0.42 * band + 0.6 * horn


def _nests(rng: Rng, shape: tuple[int, int], cell: float, low: float) -> Plane:
    return smoothstep(noise(rng, shape, cell) + 0.15 * noise(rng, shape, 8), low, low + 0.3)


def _melanoma(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Paint sheets of large, uneven, dark nuclei, with brown-black pigment here and there."""
    sheets = _nests(rng, shape, min(shape) / rng.uniform(1.8, 3.0), -0.5)
    violet, pink = _dermis(rng, shape)
    cells = nuclei(rng, shape, sheets, int(rng.integers(500, 800)), (2.2, 4.8), stretch=2.4)
    pigment = smoothstep(fractal(rng, shape, (18, 7)), 1.5, 2.3) * sheets * rng.uniform(0, 1.2)
    keep = 1.0 - 0.85 * sheets
    return violet * keep + 1.15 * cells + 0.22 * sheets + pigment, pink * keep + 0.38 * sheets + 0.5 * pigment


def _naevus(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Paint round nests of small, even nuclei in dermis."""
    nests = _nests(rng, shape, min(shape) / rng.uniform(4.0, 6.0), 0.1)
    violet, pink = _dermis(rng, shape)
    cells = nuclei(rng, shape, nests, int(rng.integers(650, 950)), (1.8, 2.7), stretch=1.3)
    keep = 1.0 - 0.8 * nests
    return violet * keep + 0.95 * cells + 0.12 * nests, pink * keep + 0.34 * nests


def _inflammation(rng: Rng, shape: tuple[int, int]) -> tuple[Plane, Plane]:
    """Paint dermis strewn with small round dark nuclei, denser around vessels."""
    violet, pink = _dermis(rng, shape)
    crowd = np.clip(0.25 + 0.75 * _nests(rng, shape, min(shape) / 4, 0.3), 0, 1)
    cells = nuclei(rng, shape, crowd * _everywhere(shape), int(rng.integers(500, 900)), (1.2, 1.8), stretch=1.2)
    return violet + 1.2 * cells, pink * 0.9


_PAINTERS = dict(zip(TISSUES, (_fat, _dermis, _epidermis, _melanoma, _naevus, _inflammation), strict=True))
