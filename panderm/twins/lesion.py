"""One lesion on skin: outline, pigment, blood, and the structures a dermatoscope shows.

Each kind of lesion moves several factors at once and every factor overlaps between kinds, as in the clinic: no single
colour or outline gives the answer away, the whole picture does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    fractal,
    grid,
    noise,
    smoothstep,
    strokes,
)

Factors = dict[str, float]

_USUAL: dict[str, tuple[float, float]] = {
    "size": (0.24, 0.05),  # radius in short sides
    "stretch": (1.15, 0.12),  # long axis by short axis
    "asymmetry": (0.10, 0.06),  # how far the outline leans to one side
    "irregularity": (0.07, 0.04),  # how notched the outline is
    "softness": (0.16, 0.06),  # width of the border, in radii
    "melanin": (0.9, 0.35),  # optical density of brown pigment
    "variegation": (0.20, 0.12),  # how much the pigment varies
    "blood": (0.20, 0.12),  # optical density of blood
}
"""Mean and deviation of each factor where a kind says nothing else; factors not named here are 0."""

KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "nv": {"network": (0.5, 0.35), "globules": (0.3, 0.3), "irregularity": (0.05, 0.03)},
    "mel": {
        "size": (0.28, 0.06),
        "asymmetry": (0.24, 0.11),
        "irregularity": (0.12, 0.06),
        "melanin": (1.25, 0.45),
        "variegation": (0.55, 0.22),
        "veil": (0.45, 0.35),
        "network": (0.35, 0.3),
        "globules": (0.35, 0.3),
        "white": (0.12, 0.18),
    },
    "bkl": {
        "melanin": (0.75, 0.35),
        "softness": (0.07, 0.04),
        "irregularity": (0.09, 0.04),
        "cysts": (0.7, 0.3),
        "scale": (0.28, 0.22),
        "variegation": (0.32, 0.15),
    },
    "bcc": {
        "size": (0.21, 0.05),
        "melanin": (0.22, 0.2),
        "blood": (0.5, 0.22),
        "vessels": (0.75, 0.3),
        "veil": (0.18, 0.2),
        "ulcer": (0.35, 0.35),
        "white": (0.2, 0.2),
    },
    "akiec": {
        "melanin": (0.3, 0.2),
        "blood": (0.6, 0.22),
        "softness": (0.3, 0.1),
        "scale": (0.65, 0.28),
        "irregularity": (0.11, 0.05),
        "vessels": (0.12, 0.15),
    },
    "scc": {
        "size": (0.27, 0.06),
        "melanin": (0.4, 0.25),
        "blood": (0.7, 0.25),
        "scale": (0.45, 0.25),
        "ulcer": (0.6, 0.3),
        "irregularity": (0.12, 0.05),
    },
    "vasc": {
        "size": (0.19, 0.05),
        "melanin": (0.12, 0.1),
        "blood": (1.35, 0.4),
        "softness": (0.10, 0.05),
        "lacunae": (0.8, 0.25),
    },
    "df": {
        "size": (0.19, 0.04),
        "melanin": (0.55, 0.2),
        "softness": (0.36, 0.1),
        "white": (0.6, 0.25),
        "network": (0.25, 0.2),
        "variegation": (0.12, 0.08),
    },
}
"""Factors of each kind of lesion; the keys are HAM10000's classes and ``scc``."""


OVERLAP = 0.65
"""Share of each kind's spread that is drawn: 1.0 made the kinds so alike that the demo's small encoder, with some hundred
training images, could not be told from chance with its interval; far below it colour alone would tell them apart."""


def factors(rng: Rng, kind: str) -> Factors:
    """Draw one lesion's factors."""
    table = _USUAL | KINDS[kind]
    drawn = {name: max(0.0, rng.normal(table[name][0], OVERLAP * table[name][1])) for name in sorted(table)}
    bounds = {"size": (0.10, 0.40), "stretch": (1.0, 2.0), "softness": (0.03, 0.6)}
    return drawn | {name: float(np.clip(drawn[name], *allowed)) for name, allowed in bounds.items()}


def outline(rng: Rng, shape: tuple[int, int], f: Factors) -> Plane:
    """Return the distance from the lesion's centre (H, W) in radii: below 1 is inside."""
    y, x = grid(*shape)
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    along, across = along / f["stretch"] ** 0.5, across * f["stretch"] ** 0.5
    angles = np.linspace(-np.pi, np.pi, 513)
    radius = 1.0 + f["asymmetry"] * np.cos(angles - rng.uniform(-np.pi, np.pi))
    for wave in range(2, 9):
        strength = f["irregularity"] * rng.uniform(0.3, 1.0) / wave**0.4
        radius = radius + strength * np.cos(wave * angles - rng.uniform(-np.pi, np.pi))
    bearing = ((np.arctan2(across, along) + np.pi) * (512 / (2 * np.pi))).astype(np.int32)
    ragged = f["irregularity"] * 0.55 * fractal(rng, shape, (min(shape) / 14, min(shape) / 30))
    distance = np.hypot(along, across) / (f["size"] * radius.astype(np.float32)[bearing])
    outlined: Plane = (distance + ragged).astype(np.float32)
    return outlined


def draw(rng: Rng, base: Colours, f: Factors, *, close: bool) -> Colours:
    """Return skin ``base`` with the lesion on it.

    Args:
        rng: source of everything drawn.
        base: bare skin (3, H, W).
        f: factors of the lesion.
        close: whether the lens shows structures under the surface (dermoscopy) or only the surface.
    """
    shape = base.shape[1:]
    short = min(shape)
    distance = outline(rng, shape, f)  # drawn first, so that picture.lesion_mask finds the same
    inside = 1.0 - smoothstep(distance, 1.0 - f["softness"], 1.0 + f["softness"])
    core = 1.0 - smoothstep(distance, 0.2, 0.95)
    patches = fractal(rng, shape, (short / 5, short / 11, short / 24))
    lean = noise(rng, shape, short / 1.5)
    density = 0.7 + 0.3 * core + f["variegation"] * (0.7 * patches + 0.4 * lean)
    pigment = f["melanin"] * inside * np.clip(density, 0.05, 2.2)
    if close:
        pigment = pigment * (1.0 + _network(rng, shape, f.get("network", 0.0), core))
    out = absorb(base, pigment, MELANIN)
    out = absorb(out, f["blood"] * inside * np.clip(0.9 + 0.3 * patches[::-1, ::-1], 0.2, 2.0), BLOOD)
    halo = smoothstep(distance, 0.95, 1.1) * (1.0 - smoothstep(distance, 1.1, 1.7))
    out = absorb(out, 0.25 * f["blood"] * halo, BLOOD)
    reach = f["size"] * short
    for name, structure in (_DEEP | _SURFACE if close else _SURFACE).items():
        if f.get(name, 0.0) > _VISIBLE:
            out = structure(rng, out, min(1.0, f[name]), Extent(inside, core, reach))
    return out


def _network(rng: Rng, shape: tuple[int, int], strength: float, core: Plane) -> Plane:
    """Return the pigment network's change of density (H, W): a warped honeycomb of dark lines, faint in the middle."""
    y, x = grid(*shape)
    warp_y, warp_x = 0.012 * noise(rng, shape, min(shape) / 9), 0.012 * noise(rng, shape, min(shape) / 9)
    count, turn = rng.uniform(110, 170), rng.uniform(0, np.pi)
    total = np.zeros(shape, dtype=np.float32)
    for third in range(3):
        angle = turn + third * np.pi / 3
        total += np.cos(((x + warp_x) * np.cos(angle) + (y + warp_y) * np.sin(angle)) * count)
    lines = 1.0 - smoothstep(total, -1.3, 0.9)
    return strength * (0.9 * lines - 0.35) * (1.0 - 0.5 * core)


class Extent(NamedTuple):
    """Where a lesion lies.

    Attributes:
        inside: (H, W), 1 inside the outline.
        core: (H, W), 1 in the middle, 0 at the outline.
        reach: radius in pixels.
    """

    inside: Plane
    core: Plane
    reach: float

    def scatter(self, rng: Rng, count: int, part: float = 1.0) -> NDArray[np.float64]:
        """Return ``count`` points (N, 2) as x, y in pixels, within ``part`` of the radius."""
        height, width = self.inside.shape
        angle, radius = rng.uniform(0, 2 * np.pi, count), part * self.reach * np.sqrt(rng.uniform(0, 1, count))
        return np.stack([width / 2 + radius * np.cos(angle), height / 2 + radius * np.sin(angle)], axis=1)

    def marks(self, rng: Rng, count: int, radius: tuple[float, float]) -> Plane:
        """Return round marks (H, W) inside the outline; radii in radii of the lesion, never below half a pixel."""
        pixels = (radius[0] * self.reach + 0.6, radius[1] * self.reach + 0.8)
        shape = (self.inside.shape[0], self.inside.shape[1])
        return self.inside * dots(rng, shape, self.scatter(rng, count, 0.9), pixels)


def _globules(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    return absorb(out, 0.9 * at.marks(rng, round(70 * strength), (0.018, 0.05)), MELANIN)


def _veil(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    cloud = smoothstep(noise(rng, out.shape[1:], 0.9 * at.reach) + 0.8 * at.core, 0.0, 1.9)
    return blend(out, (0.42, 0.41, 0.48), 0.8 * strength * at.inside * cloud)


def _vessels(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    lines, widths = [], []
    for start in at.scatter(rng, max(1, round(7 * strength))):
        angle = rng.uniform(0, 2 * np.pi)
        end = start + 0.9 * at.reach * np.array([np.cos(angle), np.sin(angle)])
        trunk = curve(start, start + rng.normal(0, 0.3 * at.reach, 2), end)
        lines.append(trunk)
        widths.append(3)
        for joint in trunk[rng.integers(2, 11, size=int(rng.integers(2, 5)))]:
            bend, tip = rng.normal(0, 0.15 * at.reach, 2), rng.normal(0, 0.3 * at.reach, 2)
            lines.append(curve(joint, joint + bend, joint + tip))
            widths.append(2)
    return blend(out, (0.72, 0.14, 0.16), 0.8 * np.clip(at.inside + 0.15, 0, 1) * strokes(out.shape[1:], lines, widths))


def _lacunae(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    return blend(out, (0.42, 0.04, 0.13), 0.6 * at.marks(rng, round(26 * strength), (0.08, 0.22)))


def _cysts(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    out = blend(out, (0.95, 0.88, 0.72), 0.6 * at.marks(rng, round(22 * strength), (0.02, 0.05)))
    return blend(out, (0.30, 0.18, 0.09), 0.7 * at.marks(rng, round(12 * strength), (0.03, 0.07)))


def _white(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    scar = smoothstep(at.core + 0.25 * noise(rng, out.shape[1:], 0.25 * at.reach), 0.45, 1.0)
    return blend(out, (0.93, 0.82, 0.78), 0.8 * strength * at.inside * scar)


def _scale(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    flakes = smoothstep(fractal(rng, out.shape[1:], (0.22 * at.reach, 0.08 * at.reach)), 0.5, 1.8)
    return blend(out, (0.92, 0.84, 0.73), 0.8 * strength * at.inside * flakes)


def _ulcer(rng: Rng, out: Colours, strength: float, at: Extent) -> Colours:
    crust = smoothstep(at.core + 0.35 * fractal(rng, out.shape[1:], (0.4 * at.reach, 0.15 * at.reach)), 0.75, 1.05)
    return blend(out, (0.36, 0.10, 0.07), 0.85 * strength * at.inside * crust)


_VISIBLE = 0.1
_DEEP = {"veil": _veil, "globules": _globules, "vessels": _vessels, "lacunae": _lacunae, "cysts": _cysts, "white": _white}
_SURFACE = {"scale": _scale, "ulcer": _ulcer}
