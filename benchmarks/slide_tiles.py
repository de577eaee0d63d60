"""How long do tiles and features of a whole slide take, and how much memory? Results: docs/slides.md.

``python benchmarks/slide_tiles.py SLIDE [--width 1024 --depth 24 --heads 16] [--repeat N] [--picture PNG]`` finds the tissue,
reads and stores every tile, and makes features by an untrained encoder of the size given (ViT-L/16 by default; what it has
learnt does not change its speed). ``--repeat N`` first lays the slide out N x N times in one file without a pyramid, the
worst that a reader can be given. Peak memory is printed after each step: before the encoder is loaded it is the tiling's.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile
from openslide import OpenSlide
from PIL import Image

from panderm.imaging import tissue
from panderm.imaging.members import read_member
from panderm.imaging.slides import TILE, Slide, parse_name
from panderm.imaging.store import encode
from panderm.imaging.tissue import SIDE, tile_shares

BYTE_CAP = 300_000_000
BATCH = 16


def peak() -> str:
    """Return the most memory that this process has used."""
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def enlarged(source: Path, times: int, target: Path) -> None:
    """Write a slide that shows ``source`` ``times`` x ``times``, tile by tile."""
    with OpenSlide(source) as slide:
        columns, rows = (side // TILE for side in slide.dimensions)
        told = f"Aperio Image Library v12|AppMag = {slide.properties['openslide.objective-power']}"
        pixels = np.asarray(slide.read_region((0, 0), 0, (columns * TILE, rows * TILE)).convert("RGB"))

    def tiles() -> Iterator[np.ndarray]:
        for row in range(rows * times):
            for column in range(columns * times):
                y, x = row % rows * TILE, column % columns * TILE
                yield pixels[y : y + TILE, x : x + TILE]

    shape = (rows * times * TILE, columns * times * TILE, 3)
    with tifffile.TiffWriter(target, bigtiff=True) as file:
        file.write(
            tiles(),
            shape=shape,
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="deflate",
            description=told,
            metadata=None,
        )


def thresholds(slide: Slide, span: int) -> None:
    """Print how many tiles other thresholds of saturation would find."""
    overview = slide.overview(span)
    saturation = cv2.medianBlur(cv2.cvtColor(overview, cv2.COLOR_RGB2HSV)[..., 1], 7)
    otsu = int(cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])
    kept = tissue.SATURATION
    for name, value in (("ours", kept), ("CLAM's for biopsies", 15), ("Otsu's", otsu)):
        tissue.SATURATION = value
        found = int((tile_shares(slide.tissue(span)) >= tissue.SHARE).sum())
        print(f"threshold {value} ({name}): {found} tiles")
    tissue.SATURATION = kept


def draw(slide: Slide, span: int, names: list[str], target: Path) -> None:
    """Write the slide's overview with what is no tissue darkened and the tiles outlined."""
    overview, mask, zoom = slide.overview(span), slide.tissue(span), 4
    shown = np.where(mask[..., None], overview, overview // 3).repeat(zoom, axis=0).repeat(zoom, axis=1)
    for name in names:
        place = parse_name(name)
        assert place is not None
        x, y = (edge // span * SIDE * zoom for edge in (place.x, place.y))
        cv2.rectangle(shown, (x, y), (x + SIDE * zoom - 1, y + SIDE * zoom - 1), (30, 160, 60), 1)
    Image.fromarray(shown).save(target)


def measure_tiles(path: Path, picture: Path | None) -> list[bytes]:
    """Print what tiling takes and return the tiles as they are stored."""
    slide = Slide(path)
    start = time.perf_counter()
    names = slide.names()
    seconds, span = time.perf_counter() - start, slide.span()
    width, height = slide.size
    grid = (width // span) * (height // span)
    print(f"{width:,} x {height:,} pixels at {slide.power:g} x; {peak()} before")
    print(f"{len(names):,} of {grid:,} tiles hold tissue, found in {seconds:.2f} s; {peak()}")
    thresholds(slide, span)
    start, files = time.perf_counter(), []
    for name in names:
        image = read_member(path, name, BYTE_CAP).image
        assert image is not None
        files.append(encode(image, "JPEG"))
    seconds = time.perf_counter() - start
    print(
        f"read and stored: {len(files) / seconds:.0f} tiles a second, {sum(map(len, files)) / len(files) / 1024:.0f} KiB each"
    )
    print(peak())
    if picture:
        draw(slide, span, names, picture)
    return files


def measure_features(files: list[bytes], width: int, depth: int, heads: int) -> None:
    """Print how many features a second an encoder of the given size makes, decoding included."""
    import torch

    from panderm.imaging.preprocessing import Preprocessing, prepare_bytes
    from panderm.models.encoder import EncoderConfig, build_untrained_encoder
    from panderm.models.pixels import normalise

    spec = Preprocessing()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = build_untrained_encoder(EncoderConfig(width=width, depth=depth, heads=heads), seed=0).to(device)
    start, made = time.perf_counter(), 0
    for first in range(0, len(files), BATCH):
        pixels = np.stack([prepare_bytes(file, spec) for file in files[first : first + BATCH]])
        with torch.inference_mode():
            made += len(module.class_token(normalise(torch.from_numpy(pixels).to(device), spec)).cpu())
    rate = made / (time.perf_counter() - start)
    print(
        f"features: {rate:.2f} tiles a second with width {width}, depth {depth} on {device}, {torch.get_num_threads()} threads"
    )


def main() -> None:
    """Measure one slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=24)
    parser.add_argument("--heads", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.slide
        if given.repeat > 1:
            path = Path(folder) / "enlarged.svs"
            enlarged(given.slide, given.repeat, path)
        files = measure_tiles(path, given.picture)
        if given.repeat == 1:
            measure_features(files, given.width, given.depth, given.heads)


if __name__ == "__main__":
    main()
