"""Skin, hair, light and lens: everything of a photo that is not the lesion."""

from __future__ import annotations

import numpy as np

from panderm.twins.canvas import (
    BLOOD,
    MELANIN,
    Colours,
    Plane,
    Rng,
    absorb,
    blend,
    curve,
    dots,
    enlarge,
    fractal,
    grid,
    noise,
    smoothstep,
    strokes,
)

TONES: tuple[tuple[float, float, float], ...] = (
    (0.92, 0.76, 0.68),
    (0.88, 0.70, 0.59),
    (0.82, 0.63, 0.50),
    (0.70, 0.51, 0.38),
    (0.58, 0.41, 0.31),
    (0.45, 0.32, 0.25),
)
"""Reflectance of skin of Fitzpatrick type I to VI in daylight, chosen by eye beside public photos."""

# Gains of red, green, blue: dermatoscopes and cameras as they differ between clinics.
_DERMATOSCOPES = ((1.05, 0.90, 0.98), (0.98, 0.90, 1.02), (1.06, 0.93, 0.88), (1.02, 0.98, 1.00), (0.92, 0.89, 0.94))
_CAMERAS = ((1.02, 0.98, 0.94), (1.00, 1.00, 1.00), (1.04, 0.96, 0.88), (0.97, 0.99, 1.01))


def skin(rng: Rng, shape: tuple[int, int], tone: int, relief: float, freckles: float) -> Colours:
    """Return bare skin (3, H, W).

    Args:
        rng: source of everything drawn.
        shape: H, W.
        tone: index into :data:`TONES`.
        relief: how strong furrows and pores show, 0..1 (dermoscopy about 0.3, close-ups 1).
        freckles: how mottled the skin is, 0..1.
    """
    short = min(shape)
    colour = np.asarray(TONES[tone], dtype=np.float32) * np.float32(rng.uniform(0.94, 1.05))
    fine = fractal(rng, shape, (short / 40, short / 80))
    pigment = 0.035 * fractal(rng, shape, (short / 3, short / 8, short / 20)) + 0.03 * fine
    flush = 0.10 * rng.random() + 0.06 * fractal(rng, shape, (short / 4, short / 10))
    if freckles > 0:
        pigment += freckles * 0.55 * smoothstep(noise(rng, shape, short / rng.uniform(9, 18)), 1.1, 2.4)
    shade = 1.0 - relief * (0.10 * _furrows(rng, shape) + 0.035 * fine)
    return absorb(absorb(colour[:, None, None] * shade, pigment, MELANIN), flush, BLOOD)


def _furrows(rng: Rng, shape: tuple[int, ...]) -> Plane:
    """Return the skin's lines (H, W), 0..1: two families of wavy parallels that cross and make lozenges.

    They are wide enough to be drawn at half the size, in a quarter of the time.
    """
    half = (shape[0] // 2, shape[1] // 2)
    y, x = grid(*half)
    short = min(half)
    warp = fractal(rng, half, (short / 5, short / 14)) * 0.055
    angle, count = rng.uniform(0, np.pi), rng.uniform(14, 24)
    total = np.zeros(half, dtype=np.float32)
    for turn in (0.0, rng.uniform(0.9, 1.4)):
        phase = (x * np.cos(angle + turn) + y * np.sin(angle + turn) + warp) * count
        line = 1.0 - smoothstep(np.abs((phase % 1.0) - 0.5), 0.0, 0.28)
        total += line * smoothstep(noise(rng, half, short / 6), -1.2, 0.8)
    return enlarge(np.clip(total, 0.0, 1.0), shape)


def hair(rng: Rng, colours: Colours, count: int) -> Colours:
    """Return the photo with ``count`` hairs over it."""
    shape = colours.shape[1:]
    size = np.array([shape[1], shape[0]], dtype=np.float64)
    lean = rng.uniform(0, 2 * np.pi)
    lines, widths = [], []
    for _ in range(count):
        angle, length = lean + rng.normal(0, 0.35), rng.uniform(0.25, 0.8) * min(shape)
        start = rng.uniform(-0.1, 1.0, 2) * size
        step = length * np.array([np.cos(angle), np.sin(angle)])
        lines.append(curve(start, start + 0.5 * step + rng.normal(0, 0.12 * length, 2), start + step))
        widths.append(int(rng.integers(1, 4)))
    shade = rng.uniform(0.08, 0.3)
    return blend(colours, (shade, shade * 0.75, shade * 0.6), 0.75 * strokes(shape, lines, widths))


def dermatoscope(rng: Rng, colours: Colours, device: int) -> Colours:
    """Return the photo as a dermatoscope shows it: tint, vignette or round aperture, bubbles in the gel, a scale."""
    shape = colours.shape[1:]
    y, x = grid(*shape)
    out: Colours = colours * np.asarray(_DERMATOSCOPES[device % len(_DERMATOSCOPES)], dtype=np.float32)[:, None, None]
    radius = np.hypot(y - rng.normal(0, 0.02), x - rng.normal(0, 0.02))
    if rng.random() < 0.12:
        centres = rng.uniform(0, 1, (int(rng.integers(2, 7)), 2)) * np.array([shape[1], shape[0]])
        out = out + 0.10 * dots(rng, shape, centres, (2.0, 6.0))
    if rng.random() < 0.15:
        ticks = [
            np.array([[8 + 9.0 * i, shape[0] - 5.0], [8 + 9.0 * i, shape[0] - (13.0 if i % 5 == 0 else 9.0)]])
            for i in range(22)
        ]
        out = blend(out, (0.08, 0.08, 0.10), 0.8 * strokes(shape, ticks, [2] * len(ticks)))
    if rng.random() < 0.22:
        edge = rng.uniform(0.56, 0.68)
        out *= 1.0 - smoothstep(radius, edge, edge + 0.03)
    else:
        out *= 1.0 - rng.uniform(0.05, 0.45) * smoothstep(radius, 0.35, 0.95)
    return out


def camera(rng: Rng, colours: Colours, device: int, shine: float) -> Colours:
    """Return the photo as a hand-held camera takes it: slanting light, tint, glare on wet or raised skin."""
    shape = colours.shape[1:]
    y, x = grid(*shape)
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1.0 + rng.uniform(0.05, 0.32) * (x * np.cos(angle) + y * np.sin(angle))
    out: Colours = colours * np.asarray(_CAMERAS[device % len(_CAMERAS)], dtype=np.float32)[:, None, None] * slope
    if shine:
        glare = smoothstep(noise(rng, shape, min(shape) / 70) + 0.6 * noise(rng, shape, min(shape) / 6), 1.7, 3.0)
        out = out + shine * 0.5 * glare
    return out


def pen_mark(rng: Rng, colours: Colours) -> Colours:
    """Return the photo with a surgeon's ring of violet ink around the middle."""
    shape = colours.shape[1:]
    angles = np.linspace(0, rng.uniform(5.4, 6.6), 40) + rng.uniform(0, 6)
    radius = min(shape) * rng.uniform(0.30, 0.40) * (1 + 0.06 * np.sin(angles * 2 + rng.uniform(0, 6)))
    ring = np.stack([shape[1] / 2 + radius * np.cos(angles), shape[0] / 2 + radius * np.sin(angles)], axis=1)
    return blend(colours, (0.33, 0.16, 0.42), 0.65 * strokes(shape, [ring], [int(rng.integers(4, 8))]))
