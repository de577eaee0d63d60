"""Whole slides as containers: a member is a tile of 256 pixels at 20 x that holds tissue, named ``x_y_span``.

``x`` and ``y`` are the tile's corner and ``span`` its side, in pixels of the slide's full resolution; a slide scanned at 40 x
has spans of 512. So a name alone says what to read, whatever was assumed of the slide when it was tiled. Tiles touch, do
not overlap and lie wholly on the slide. Nothing is read but regions of at most :data:`_BLOCK` pixels a side, so memory does
not grow with the slide.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from openslide import (
    PROPERTY_NAME_MPP_X,
    PROPERTY_NAME_OBJECTIVE_POWER,
    OpenSlide,
    OpenSlideError,
    OpenSlideUnsupportedFormatError,
)
from PIL import Image

from panderm.core.reasons import Reason
from panderm.imaging.members import BadMember, Member
from panderm.imaging.tissue import SHARE, SIDE, tile_shares, tissue_mask

TILE = 256
"""Side of a tile, pixels at :data:`POWER` (paper, Methods)."""

POWER = 20.0
"""Magnification of the tiles (paper, Methods)."""

_LEAST_POWER, _MOST_POWER = 18.0, 100.0  # scanners' "20 x" has 0.46 to 0.55 micrometres a pixel
_MICROMETRES = 10.0  # a pixel's at 1 x, as scanners round it: 0.5 at 20 x, 0.25 at 40 x
_BLOCK = 2048  # pixels a side read at once: 16 MB
_MOST_TILES = 1_000_000  # the largest slides have some 150,000; above it the header is wrong
_NAME = re.compile(r"(\d{1,9})_(\d{1,9})_(\d{1,4})")
_DAMAGED = (OpenSlideError, OpenSlideUnsupportedFormatError)


class Place(NamedTuple):
    """A tile on its slide, pixels of the full resolution.

    Attributes:
        x: of the left edge.
        y: of the upper edge.
        span: side.
    """

    x: int
    y: int
    span: int

    @property
    def name(self) -> str:
        """The member's name."""
        return f"{self.x}_{self.y}_{self.span}"


def parse_name(name: str) -> Place | None:
    """Return what a member's name says, None for a name of another form."""
    found = _NAME.fullmatch(name)
    return Place(*(int(text) for text in found.groups())) if found else None


def open_container(file: Path) -> Slide:
    """Open a slide.

    Raises:
        BadMember: it is damaged, or no slide.
        OSError: the file system does not give it.
    """
    with open(file, "rb"):  # OpenSlide's error does not tell rights from damage
        pass
    return Slide(file)


def tile_names(file: Path, power: float | None = None) -> list[str]:
    """Return the names of a slide's tiles with tissue, sorted.

    Args:
        file: the slide.
        power: magnification it was scanned at, where the file does not say it.

    Raises:
        BadMember: it is damaged, no slide, of unknown or too low magnification, or without tissue.
        OSError: the file system does not give it.
    """
    slide = open_container(file)
    try:
        return slide.names(power)
    finally:
        slide.close()


class Slide:
    """An open slide."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._slide = self._opened()

    def _opened(self) -> OpenSlide:
        try:
            return OpenSlide(self._file)
        except _DAMAGED as error:
            raise BadMember(f"{self._file.name} is not a readable slide; copy it again") from error

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels of the full resolution."""
        width, height = self._slide.dimensions
        return int(width), int(height)

    @property
    def power(self) -> float | None:
        """Magnification that the file states, or that its pixel size comes to; None where it says neither."""
        stated = self._number(PROPERTY_NAME_OBJECTIVE_POWER)
        if stated is not None:
            return stated
        micrometres = self._number(PROPERTY_NAME_MPP_X)
        return None if micrometres is None else _MICROMETRES / micrometres

    def _number(self, name: str) -> float | None:
        try:
            value = float(self._slide.properties.get(name, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and value > 0 else None

    def span(self, assumed: float | None = None) -> int:
        """Return the side of a tile, pixels of the full resolution.

        Raises:
            BadMember: the magnification is not known, or none that can be brought to :data:`POWER`.
        """
        power, name = self.power or assumed, self._file.name
        if power is None:
            sentence = f"{name} says neither at which power nor with how many micrometres a pixel it was scanned"
            raise BadMember(f"{sentence}; say it in the column objective_power of slides.csv", Reason.BAD_VALUE)
        if not _LEAST_POWER <= power <= _MOST_POWER:
            allowed = f"tiles are made at {POWER:g} x of slides from {_LEAST_POWER:g} x to {_MOST_POWER:g} x"
            raise BadMember(f"{name} was scanned at {power:g} x; {allowed}", Reason.BAD_VALUE)
        return round(TILE * power / POWER)

    def names(self, power: float | None = None) -> list[str]:
        """Return the names of the tiles with tissue, sorted.

        Raises:
            BadMember: as :func:`tile_names`.
        """
        span = self.span(power)
        rows, columns = np.nonzero(tile_shares(self.tissue(span)) >= SHARE)
        if not len(rows):
            raise BadMember(f"{self._file.name} shows no tissue; scan it again or leave it out", Reason.OUT_OF_SCOPE)
        return sorted(Place(int(x) * span, int(y) * span, span).name for y, x in zip(rows, columns, strict=True))

    def tissue(self, span: int) -> NDArray[np.bool_]:
        """Return where there is tissue, ``SIDE`` pixels a tile of ``span``; see :func:`panderm.imaging.tissue.tissue_mask`.

        Raises:
            BadMember: the slide is damaged, smaller than a tile, or of an impossible size.
        """
        return tissue_mask(self.overview(span))

    def overview(self, span: int) -> NDArray[np.uint8]:
        """Return a small picture of the slide (R x SIDE, C x SIDE, 3) for R x C tiles of ``span``, put together in blocks.

        Raises:
            BadMember: the slide is damaged, smaller than a tile, or of an impossible size.
        """
        columns, rows = (side // span for side in self.size)
        if not 0 < rows * columns <= _MOST_TILES:
            width, height = self.size
            allowed = f"1 to {_MOST_TILES:,} tiles of {span} pixels are cut"
            raise BadMember(f"{self._file.name} has {width} x {height} pixels; {allowed}", Reason.BAD_VALUE)
        picture = np.empty((rows * SIDE, columns * SIDE, 3), dtype=np.uint8)
        level = self._slide.get_best_level_for_downsample(span / SIDE)
        step = max(1, int(_BLOCK * self._slide.level_downsamples[level] / span))  # tiles a block
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                down, across = min(step, rows - row), min(step, columns - column)
                block = self._region(column * span, row * span, across * span, down * span, level)
                small = block.resize((across * SIDE, down * SIDE), Image.Resampling.BOX)
                y, x = row * SIDE, column * SIDE
                picture[y : y + down * SIDE, x : x + across * SIDE] = np.asarray(small)
        return picture

    def read(self, name: str, byte_cap: int) -> Member:
        """Return a tile, brought to :data:`TILE` pixels.

        Raises:
            BadMember: the name is none of a tile on this slide, or the slide is damaged there.
        """
        place, (width, height) = parse_name(name), self.size
        most = round(TILE * _MOST_POWER / POWER)
        if place is None or not 0 < place.span <= most or place.x + place.span > width or place.y + place.span > height:
            raise BadMember(f"{self._file.name} has no tile {name}; tile it again")
        if byte_cap < 3 * TILE**2:
            raise BadMember(f"a tile has {3 * TILE**2:,} bytes; at most {byte_cap:,} are read")
        level = self._slide.get_best_level_for_downsample(1.01 * place.span / TILE)  # a level may miss its factor by a bit
        region = self._region(place.x, place.y, place.span, place.span, level)
        image = region if region.size == (TILE, TILE) else region.resize((TILE, TILE), Image.Resampling.LANCZOS)
        return Member(image.tobytes(), image)

    def _region(self, x: int, y: int, width: int, height: int, level: int) -> Image.Image:
        """Return a part of the slide as it is stored at a level; what was never scanned is white."""
        factor = self._slide.level_downsamples[level]
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        try:
            scanned = self._slide.read_region((x, y), level, size)
        except OpenSlideError as error:
            self._slide.close()
            self._slide = self._opened()  # OpenSlide refuses everything after an error; other tiles may well be whole
            raise BadMember(f"{self._file.name} is damaged at {x}, {y} ({error}); copy it again") from error
        image = Image.new("RGB", size, "white")
        image.paste(scanned, mask=scanned.getchannel("A"))
        return image

    def close(self) -> None:
        """Close the file."""
        self._slide.close()
