"""A contact sheet of the twins: a row a dataset, as many pictures as fit."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from panderm.catalog import Dataset
from panderm.core.files import write_bytes
from panderm.twins.canvas import seed_of
from panderm.twins.delivery import Photo, plan
from panderm.twins.picture import draw
from panderm.twins.shots import Scale
from panderm.twins.slides import Slide

_CELL, _GAP, _MARGIN = 128, 4, 150


def write_sheet(path: Path, datasets: Sequence[Dataset], seed: int, scale: Scale = "demo", columns: int = 9) -> None:
    """Write a PNG with a row a dataset: its key, its modality, and ``columns`` of its pictures, centre-cropped."""
    height = len(datasets) * (_CELL + _GAP) + _GAP
    sheet = Image.new("RGB", (_MARGIN + columns * (_CELL + _GAP), height), "white")
    pen = ImageDraw.Draw(sheet)
    for row, dataset in enumerate(datasets):
        top = _GAP + row * (_CELL + _GAP)
        name = dataset.key.replace("/", "/\n")
        pen.multiline_text((8, top + 34), name, fill=(20, 20, 20), font=ImageFont.load_default(15))
        pen.text((8, top + 78), " + ".join(dataset.modalities), fill=(110, 110, 110), font=ImageFont.load_default(11))
        for column, image in enumerate(_pictures(dataset, seed, scale, columns)):
            sheet.paste(_cell(image), (_MARGIN + column * (_CELL + _GAP), top))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    write_bytes(path, file.getvalue())


def _pictures(dataset: Dataset, seed: int, scale: Scale, count: int) -> Iterator[Image.Image]:
    """Yield whole pictures of a dataset, always the same ones."""
    contents = plan(dataset, seed, scale).files.values()
    slides = [content for content in contents if isinstance(content, Slide) and not content.how]
    yield from (slide.picture() for slide in slides[:count])
    photos = [content for content in contents if isinstance(content, Photo) and not content.how]
    yield from (draw(photo.picture) for photo in _some(photos, count))


def _some(photos: list[Photo], count: int) -> list[Photo]:
    """Return pictures as varied as they are."""
    chosen: dict[tuple[str, str], Photo] = {}
    for photo in sorted(photos, key=lambda photo: seed_of("sheet", photo)):
        chosen.setdefault((photo.picture.shows, photo.picture.subject), photo)
    by_sight: dict[str, list[Photo]] = {}
    for photo in chosen.values():
        by_sight.setdefault(photo.picture.shows, []).append(photo)
    rounds = max((len(group) for group in by_sight.values()), default=0)
    turns = [group[turn] for turn in range(rounds) for group in by_sight.values() if turn < len(group)]
    return turns[:count]


def _cell(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((_CELL, _CELL), Image.Resampling.LANCZOS)
