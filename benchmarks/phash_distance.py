"""How far apart are two files of one picture, and how near are two different pictures? Where curate's thresholds come from.

``python benchmarks/phash_distance.py FOLDER...`` takes one folder of images per modality and prints, for each, how many
copies (re-compressed, shrunk, brightened, cropped, mirrored) curate's rule finds, and how many pairs of different files
the perceptual hash proposes and the thumbnails confirm. Results: docs/curation.md.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from panderm.curation.duplicates import (
    ORIENTATIONS,
    THUMBNAIL,
    correlation,
    hash_bytes,
    propose,
    turn_hashes,
    turn_thumbnails,
)

COPIES = 150  # pictures a folder of which copies are made
DISTANCES, SIMILARITIES = (4, 6, 8), (0.90, 0.92, 0.94, 0.96, 0.98)


def recompressed(picture: Image.Image, quality: int) -> Image.Image:
    """Return ``picture`` through a JPEG of that quality."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def cropped(picture: Image.Image, share: float = 0.02) -> Image.Image:
    """Return ``picture`` without ``share`` of its width and height on each side."""
    across, down = round(picture.width * share), round(picture.height * share)
    return picture.crop((across, down, picture.width - across, picture.height - down))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda picture: recompressed(picture, 50),
    "JPEG 30": lambda picture: recompressed(picture, 30),
    "half size": lambda picture: recompressed(picture.resize((picture.width // 2, picture.height // 2)), 85),
    "10 % brighter": lambda picture: recompressed(picture.point(lambda value: min(255, int(value * 1.1))), 85),
    "2 % cropped": lambda picture: recompressed(cropped(picture), 85),
    "mirrored": lambda picture: recompressed(ImageOps.mirror(picture), 85),
    "quarter turn": lambda picture: recompressed(picture.transpose(Image.Transpose.ROTATE_90), 85),
}


def hashes_of(pictures: list[Image.Image]) -> np.ndarray:
    """Return perceptual hashes (N, 8)."""
    return hash_bytes(pd.Series([str(imagehash.phash(picture)) for picture in pictures]))


def thumbnails_of(pictures: list[Image.Image]) -> np.ndarray:
    """Return thumbnails as curate makes them."""
    return np.stack([np.asarray(picture.resize((THUMBNAIL, THUMBNAIL))) for picture in pictures])


def found(originals: list[Image.Image], copies: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """Return each copy's distance in its best orientation (N, 8) and likeness (N, 8)."""
    left, right, small, large = hashes_of(originals), hashes_of(copies), thumbnails_of(originals), thumbnails_of(copies)
    bits = [np.unpackbits(turn_hashes(left, how) ^ right, axis=1).sum(axis=1) for how in ORIENTATIONS]
    likeness = [correlation(turn_thumbnails(small, how), large) for how in ORIENTATIONS]
    return np.stack(bits, axis=1), np.stack(likeness, axis=1)


def measure(folder: Path) -> None:
    """Print the tables of one folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    pictures = [Image.open(path).convert("RGB") for path in files]
    print(f"\n{folder.name}: {len(pictures)} pictures")
    some = [pictures[n] for n in np.linspace(0, len(pictures) - 1, min(COPIES, len(pictures))).astype(int)]
    rules = [(d, s) for d in DISTANCES for s in SIMILARITIES]
    print("share of copies found, by distance/similarity: " + " ".join(f"{d}/{s:.2f}" for d, s in rules))
    for name, change in CHANGES.items():
        bits, likeness = found(some, [change(picture) for picture in some])
        shares = [((bits <= d) & (likeness >= s)).any(axis=1).mean() for d, s in rules]
        print(f"  {name:<14}" + " ".join(f"{share:6.3f}" for share in shares))
    pairs = propose(hashes_of(pictures), max(DISTANCES))
    thumbnails = thumbnails_of(pictures)
    likeness = np.zeros(len(pairs), dtype=np.float32)
    for number, how in enumerate(ORIENTATIONS):
        of_it = np.flatnonzero(pairs["orientation"] == number)
        left = turn_thumbnails(thumbnails[pairs["i"].to_numpy()[of_it]], how)
        likeness[of_it] = correlation(left, thumbnails[pairs["j"].to_numpy()[of_it]])
    every = len(pictures) * (len(pictures) - 1) // 2
    for distance in DISTANCES:
        near = (pairs["distance"] <= distance).to_numpy()
        proposed = len(pairs[near].drop_duplicates(["i", "j"]))
        confirmed = {s: len(pairs[near & (likeness >= s)].drop_duplicates(["i", "j"])) for s in SIMILARITIES}
        print(f"  pairs of different files within {distance}: {proposed} of {every}; confirmed by similarity: {confirmed}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/phash_distance.py FOLDER...")
    for argument in sys.argv[1:]:
        measure(Path(argument))
