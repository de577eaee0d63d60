"""Conditions of whole patches of skin, as educational collections show them: many spots, rings, scale, lost pigment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from panderm.twins.canvas import BLOOD, MELANIN, Colours, Rng, absorb, blend, dots, fractal, grid, noise, smoothstep


class Eruption(NamedTuple):
    """How a condition looks.

    Attributes:
        spots: fewest and most patches.
        size: smallest and largest radius, in short sides.
        blood: optical density of redness.
        melanin: optical density of pigment; negative where it is lost.
        scale: how much white scale lies on it, 0..1.
        ring: whether the rim is stronger than the middle.
        pustules: how many pale dots, at most.
        line: whether the patches follow a line, as along a nerve.
    """

    spots: tuple[int, int]
    size: tuple[float, float]
    blood: float = 0.0
    melanin: float = 0.0
    scale: float = 0.0
    ring: bool = False
    pustules: int = 0
    line: bool = False


ERUPTIONS: dict[str, Eruption] = {
    "Psoriasis": Eruption((2, 6), (0.08, 0.24), blood=0.75, scale=0.8),
    "Atopic eczema": Eruption((3, 7), (0.10, 0.24), blood=0.45, melanin=0.08, scale=0.25),
    "Tinea corporis": Eruption((1, 3), (0.14, 0.28), blood=0.6, scale=0.35, ring=True),
    "Vitiligo": Eruption((2, 6), (0.08, 0.24), melanin=-1.3),
    "Acne vulgaris": Eruption((12, 30), (0.015, 0.04), blood=0.75, pustules=14),
    "Urticaria": Eruption((4, 10), (0.06, 0.18), blood=0.4, ring=True),
    "Melasma": Eruption((3, 6), (0.10, 0.22), melanin=0.45),
    "Herpes zoster": Eruption((5, 9), (0.05, 0.10), blood=0.7, pustules=26, line=True),
    "Tinea versicolor": Eruption((10, 24), (0.02, 0.07), melanin=-0.8, scale=0.2),
    "Purpura": Eruption((15, 40), (0.008, 0.035), blood=1.25),
}
"""Condition -> how it looks; names are folder names of the educational twins."""


def draw(rng: Rng, base: Colours, condition: str) -> Colours:
    """Return skin ``base`` (3, H, W) with the condition on it."""
    pigment = float(np.clip(1.1 - base.mean(), 0.3, 1.0))  # what light skin can lose is little
    spec = ERUPTIONS[condition]
    shape = base.shape[1:]
    short = min(shape)
    y, x = grid(*shape)
    warp = 0.10 * noise(rng, shape, short / 8) + 0.05 * noise(rng, shape, short / 20)
    affected, rim = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    angle, centres = rng.uniform(0, np.pi), []
    for _ in range(int(rng.integers(spec.spots[0], spec.spots[1] + 1))):
        if spec.line:
            along = rng.uniform(-0.55, 0.55)
            cx, cy = along * np.cos(angle) + rng.normal(0, 0.05), along * np.sin(angle) + rng.normal(0, 0.05)
        else:
            cx, cy = rng.uniform(-0.55, 0.55), rng.uniform(-0.42, 0.42)
        radius = rng.uniform(*spec.size)
        distance = np.hypot(x - cx, (y - cy) * rng.uniform(0.8, 1.25)) / radius + warp * min(1.0, 0.08 / radius + 0.8)
        affected = np.maximum(affected, 1.0 - smoothstep(distance, 0.85, 1.08))
        rim = np.maximum(rim, smoothstep(distance, 0.55, 0.9) * (1.0 - smoothstep(distance, 0.95, 1.12)))
        centres.append((shape[1] / 2 + cx * short, shape[0] / 2 + cy * short))
    strength = rng.uniform(0.65, 1.2)
    weight = (0.35 * affected + 0.9 * rim if spec.ring else affected) * (
        1.0 + 0.2 * fractal(rng, shape, (short / 8, short / 20))
    )
    out = absorb(base, strength * spec.blood * weight, BLOOD)
    out = absorb(out, strength * spec.melanin * weight * (pigment if spec.melanin < 0 else 1.0), MELANIN)
    if spec.scale:
        flakes = smoothstep(fractal(rng, shape, (short / 14, short / 32)), 0.1, 1.5)
        out = blend(out, (0.94, 0.91, 0.87), spec.scale * strength * 0.8 * affected * flakes)
    if spec.pustules:
        chosen = np.array(centres)[rng.integers(0, len(centres), spec.pustules)] + rng.normal(
            0, 0.03 * short, (spec.pustules, 2)
        )
        out = blend(out, (0.94, 0.87, 0.66), 0.75 * dots(rng, shape, chosen, (0.006 * short + 0.5, 0.014 * short + 0.7)))
    return out
