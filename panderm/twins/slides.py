"""Whole slides, drawn: a blob of stained tissue on glass, as a tiled pyramid with an Aperio scanner's description.

Tumour slides have melanoma in part of the tissue, all others are normal skin with a naevus or an inflammation here and
there, so that a slide's label is told by some of its tiles, as in life.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from panderm.twins.canvas import Colours, Plane, Rng, noise, seed_of, smoothstep, to_image
from panderm.twins.layouts import Row, Table
from panderm.twins.shots import Scale
from panderm.twins.tissue import draw

_TILE, _FIELD, _SEAM = 256, 320, 64  # pixels at 20 x: a tile, a field drawn at once, how much two fields share
_GLASS = np.array([0.957, 0.953, 0.957], dtype=np.float32)
_LEVELS = (1, 4)  # of the pyramid, as Aperio's scanners write

NORMAL, TUMOUR = "normal", "tumour"
_NORMAL_TISSUE = {
    "reticular dermis": 0.4,
    "epidermis": 0.25,
    "subcutaneous fat": 0.15,
    "inflammation": 0.12,
    "naevus": 0.08,
}

CASES: dict[Scale, tuple[int, int, int]] = {"tiny": (3, 2, 2), "demo": (5, 5, 9), "large": (20, 20, 36)}
"""Scale -> cases with a normal and a tumour slide, with a normal one only, with a tumour slide only."""


class Slide(NamedTuple):
    """A drawn slide.

    Attributes:
        subject: name of the specimen: same name, same slide.
        tumour: whether there is melanoma on it.
        tiles: columns and rows of tiles at 20 x.
        power: what it was scanned at, 20 or 40.
        how: what is wrong with it: ``truncated``, ``text``, ``blank``, ``unpowered``; empty if nothing.
    """

    subject: str
    tumour: bool
    tiles: tuple[int, int] = (4, 4)
    power: int = 20
    how: str = ""

    def picture(self) -> Image.Image:
        """Return the slide at 20 x."""
        width, height = (_TILE * count + _TILE // 4 for count in self.tiles)  # the rest makes no tile
        rng = np.random.default_rng(seed_of("slide", self.subject))
        glass = np.broadcast_to(_GLASS[:, None, None], (3, height, width))
        if self.how == "blank":
            return to_image(glass.copy())
        inside = _blob(rng, (height, width), 0.0)
        tissue = _patchwork(rng, (height, width), self.tumour)
        return to_image((glass * (1 - inside) + tissue * inside).astype(np.float32))

    def data(self) -> bytes:
        """Return the file's bytes, the same for the same slide."""
        if self.how == "text":
            return b"The scanner was being serviced. Please ask for this slide again.\n"
        picture = self.picture()
        if self.power != 20:
            factor = self.power // 20
            picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
        data = aperio(picture, None if self.how == "unpowered" else self.power)
        return data[: len(data) // 2] if self.how == "truncated" else data


def aperio(picture: Image.Image, power: int | None) -> bytes:
    """Return a picture as the file of an Aperio scanner: a tiled TIFF, its levels after each other."""
    import tifffile

    size = f"{picture.width}x{picture.height}"
    told = f"Aperio Image Library v12.0.16\r\n{size} [0,0 {size}] (256x256)"
    told += "" if power is None else f"|AppMag = {power}|MPP = {10 / power:.4f}"
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for factor in _LEVELS:
            level = np.asarray(picture.reduce(factor))
            file.write(
                level,
                tile=(_TILE, _TILE),
                photometric="rgb",
                compression="deflate",  # JPEG would need one more library
                description=told,
                metadata=None,
                software=False,
            )
    return stream.getvalue()


def _blob(rng: Rng, shape: tuple[int, int], shift: float) -> Plane:
    """Return an uneven spot (H, W), 0..1, in the middle; ``shift`` above 0 makes it smaller."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    radius = np.hypot(x * rng.uniform(1.0, 1.15), y * rng.uniform(1.0, 1.15)) + 0.10 * noise(rng, shape, min(shape) / 5)
    spot: Plane = 1.0 - smoothstep(radius + shift, 0.84, 0.87)
    return spot


def _patchwork(rng: Rng, shape: tuple[int, int], tumour: bool) -> Colours:
    """Return tissue (3, H, W) drawn field by field, with faded seams."""
    turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.5)
    stain = np.random.default_rng(seed_of("laboratory", int(rng.integers(6))))
    total, weight = np.zeros((3, *shape), np.float32), np.full(shape, 1e-6, np.float32)
    ramp = np.minimum(np.arange(1, _FIELD + 1), np.arange(_FIELD, 0, -1)).clip(max=_SEAM).astype(np.float32) / _SEAM
    laboratory = stain.bit_generator.state
    for top, left in _corners(shape):
        down, across = min(_FIELD, shape[0] - top), min(_FIELD, shape[1] - left)
        y, x = 2 * (top + down / 2) / shape[0] - 1, 2 * (left + across / 2) / shape[1] - 1
        here = tumour and np.hypot(x - 0.3 * np.cos(turn), y - 0.3 * np.sin(turn)) < reach + 0.2
        kind = "melanoma" if here else str(rng.choice(list(_NORMAL_TISSUE), p=list(_NORMAL_TISSUE.values())))
        stain.bit_generator.state = laboratory  # the slide has one stain
        field = draw(rng, (_FIELD, _FIELD), kind, stain)[:, :down, :across]
        share = np.outer(ramp[:down], ramp[:across])
        total[:, top : top + down, left : left + across] += field * share
        weight[top : top + down, left : left + across] += share
    tissue: Colours = total / weight
    return tissue


def _corners(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    step = _FIELD - _SEAM
    yield from ((top, left) for top in range(0, shape[0], step) for left in range(0, shape[1], step))


class Delivered(NamedTuple):
    """A delivery of slides: ``files`` path -> what it holds, ``trouble`` -> paths or names of tables."""

    files: dict[str, Slide | bytes]
    trouble: dict[str, tuple[str, ...]]


def delivered(key: str, seed: int, scale: Scale, delivery: int, *, broken: bool) -> Delivered:
    """Return what deliveries 1 to ``delivery`` hold together: ``slides.csv``, ``slides/``, and trouble of every kind."""
    slides: dict[str, Slide] = {}
    rows: list[Row] = []
    for number in range(1, delivery + 1):
        for name, label, slide in _specimens(key, seed, scale, number):
            slides[f"slides/{name}.svs"] = slide
            rows.append({"Slide_ID": name, "Case_ID": name[:9], "label": label, "Age": str(40 + int(name[4:9]) % 45)})
    rows[0] |= {"label": "tumor_tissue" if rows[0]["label"] == "Tumour" else "normal_tissue"}
    trouble: dict[str, tuple[str, ...]] = {}
    for number, (how, row) in enumerate(_TROUBLE.items()):
        name = f"C3L-{90000 + number}-21"
        slides[f"slides/{name}.svs"] = Slide(f"{seed}/{key}/{how}", False, (2, 2), how=how if how in _SPOILT else "")
        rows.append({"Slide_ID": name, "Case_ID": name[:9], "label": "Normal", "Age": ""} | row)
        trouble[how] = (f"slides/{name}.svs",)
    unlisted = "slides/C3N-99999-21.svs"
    slides[unlisted] = Slide(f"{seed}/{key}/unlisted", False, (2, 2))
    rows += [dict(rows[1]), rows[2] | {"Slide_ID": "C3N-99998-21", "Case_ID": "C3N-99998"}]
    trouble |= {"no_metadata": (unlisted,), "duplicate_row": ("slides.csv",), "missing_file": ("slides.csv",)}
    table = Table(["Slide_ID", "Case_ID", "label", "Age"], rows, "Slide_ID")
    if broken:
        table.drop("label")
    return Delivered({**slides, "slides.csv": table.encoded()}, dict(sorted(trouble.items())))


_SPOILT = ("truncated", "text", "blank", "unpowered")
_TROUBLE: dict[str, Row] = {
    **{how: {} for how in _SPOILT},
    "unknown_label": {"label": "wart"},
    "contradiction": {"Case_ID": "C3N-00001"},
}
"""What is wrong with a slide -> what its row says otherwise."""


def _specimens(key: str, seed: int, scale: Scale, delivery: int) -> Iterator[tuple[str, str, Slide]]:
    """Yield name, label and slide of each specimen that a delivery adds; a second one has a case of each sort."""
    both, normal, tumour = CASES[scale] if delivery == 1 else (1, 1, 1)
    cases = [(NORMAL, TUMOUR)] * both + [(NORMAL,)] * normal + [(TUMOUR,)] * tumour
    for number, labels in enumerate(cases):
        for part, label in enumerate(labels):
            name = f"C3{'LN'[number % 2]}-{1000 * delivery + number:05d}-{21 + part}"
            rng = np.random.default_rng(seed_of(seed, key, name))
            side = 3 if scale == "tiny" else int(rng.integers(3, 5))
            power = 40 if number % 7 == 3 else 20
            yield name, label.capitalize(), Slide(f"{seed}/{key}/{name}", label == TUMOUR, (side, side), power)
