"""How sure is a registration, and how good is the lesion mask? Where the pipeline's own numbers come from.

``python benchmarks/registration.py HAM10000_FOLDER [--lesions 200] [--masks 300]`` takes a folder with images,
``HAM10000_metadata.csv`` and drawn masks, and prints (1) how many points agree between two images of one lesion and between
images of two lesions, and (2) the Jaccard index of ``lesion_mask`` with drawn masks. Results: docs/change_detection.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from panderm.core.progress import progress
from panderm.imaging.sequential.lesion import lesion_mask
from panderm.imaging.sequential.pipeline import Steps, steps
from panderm.imaging.sequential.registration import register
from panderm.imaging.sequential.settings import AlignSettings


def files(folder: Path, pattern: str) -> dict[str, Path]:
    """Return stem -> path of the files below a folder."""
    return {path.stem: path for path in sorted(folder.rglob(pattern))}


def opened(path: Path, settings: AlignSettings) -> Steps:
    """Return one image after the steps that need no partner."""
    return steps(Image.open(path).convert("RGB"), settings)


def agreeing(first: Steps, second: Steps, settings: AlignSettings) -> int:
    """Return how many points agree on one movement between two cleaned images."""
    return int(register(first.clean, second.clean, settings).agreeing.sum())


def registrations(images: dict[str, Path], table: pd.DataFrame, settings: AlignSettings, most: int) -> None:
    """Print how often images of one lesion and of two are registered, for ``most`` lesions with two images."""
    lesions = [list(names)[:2] for _, names in table.groupby("lesion_id")["image_id"] if len(names) > 1][:most]
    made = [[opened(images[name], settings) for name in names] for names in progress(lesions, what="clean")]
    same, other = [], []
    for number, (first, second) in enumerate(progress(made, what="register")):
        same.append(agreeing(first, second, settings))
        other.append(agreeing(first, made[(number + 7) % len(made)][1], settings))
    print(f"two images of one lesion ({len(same)}): {np.mean(np.array(same) >= settings.agreeing):.1%} registered")
    print(f"images of two lesions ({len(other)}): at most {max(other)} points agree, 99 % have at most", end=" ")
    print(f"{np.percentile(other, 99):.0f}; {np.mean(np.array(other) >= settings.agreeing):.1%} registered")
    corners = np.mean([one.corner_mask.any() for pair in made for one in pair])
    print(f"dark corners were seen in {corners:.1%} of the images")


def masks(images: dict[str, Path], drawn: dict[str, Path], settings: AlignSettings, most: int) -> None:
    """Print the Jaccard index with ``most`` drawn masks; an image without a plausible lesion counts as 0."""
    names = [name for name in drawn if name.removesuffix("_segmentation") in images]
    found = []
    for name in progress(names[:: max(1, len(names) // most)], what="masks"):
        clean = opened(images[name.removesuffix("_segmentation")], settings).clean
        guess = lesion_mask(clean, settings.model_copy(update={"mask_margin": 0.0}))
        true = np.asarray(Image.open(drawn[name]).convert("L").resize(clean.shape[1::-1])) >= 128
        found.append(0.0 if guess is None else float((guess & true).sum() / (guess | true).sum()))
    print(f"lesion mask on {len(found)} images: Jaccard {np.mean(found):.3f}, median {np.median(found):.3f}")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lesions", type=int, default=200, help="with two images [default: 200]")
    parser.add_argument("--masks", type=int, default=300, help="drawn masks [default: 300]")
    given = parser.parse_args()
    settings = AlignSettings()
    images, table = files(given.folder, "*.jpg"), pd.read_csv(given.folder / "HAM10000_metadata.csv")
    registrations(images, table[table["image_id"].isin(images)], settings, given.lesions)
    masks(images, files(given.folder, "*_segmentation.png"), settings, given.masks)


if __name__ == "__main__":
    main()
