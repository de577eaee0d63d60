"""Lay out public data sets as deliveries, so that the whole chain runs on real pictures.

``python benchmarks/real_landing.py DATA WORKSPACE [--all-masks]`` reads native folders in DATA (``ham10000/``,
``pad_ufes_20/``, ``isic2024/``, ``histology/``) and fills WORKSPACE/landing. The in-house pretraining sources are not public,
so a part of each public set stands in for the source of its modality, in that source's layout; the rest is the benchmark. The
cut is by lesion or patient (a hash of its id), so no lesion stands on both sides; curate checks that again on its own. With
``--all-masks`` every mask is delivered, and curate keeps the lesions of those images out of the corpus.

| public set | part | delivered as |
|---|---|---|
| HAM10000 | half of the lesions | benchmarks/ham10000 |
| HAM10000 masks | those of the same half (or all), with their images | benchmarks/ham10000_seg |
| HAM10000 | the other half | mym_hop_derm (dermoscopic) |
| PAD-UFES-20 | three quarters of the patients | benchmarks/pad_ufes |
| PAD-UFES-20 | the other quarter | edu1 (clinical) |
| ISIC 2024 | half of the tiles | benchmarks/isic2024 |
| ISIC 2024 | the other half | isic2024 (tbp) |
| H&E tiles | all | uah89k (dermatopathology) |
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pandas as pd


def side(key: str, benchmark_share: float) -> str:
    """Return ``benchmark`` or ``source`` for a lesion or patient id, by its hash alone."""
    position = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return "benchmark" if position < benchmark_share else "source"


def place(file: Path, target: Path) -> None:
    """Hard-link (or copy, across file systems) a delivered file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def ham10000(data: Path, landing: Path, *, all_masks: bool) -> None:
    """Cut HAM10000 by lesion."""
    table = pd.read_csv(data / "HAM10000_metadata.csv")
    sides = table["lesion_id"].map(lambda lesion: side(lesion, 0.5))
    images = data / "HAM10000_images_part_1"
    kept = table[sides == "benchmark"]
    home = landing / "benchmarks" / "ham10000"
    for image in kept["image_id"]:
        place(images / f"{image}.jpg", home / images.name / f"{image}.jpg")
    kept.to_csv(home / "HAM10000_metadata.csv", index=False)
    ham10000_masks(data, table if all_masks else kept, landing / "benchmarks" / "ham10000_seg")
    given = table[sides == "source"].rename(columns={"localization": "site"})
    home = landing / "mym_hop_derm"
    for image in given["image_id"]:
        place(images / f"{image}.jpg", home / "images" / f"{image}.jpg")
    given = given.assign(image=given["image_id"] + ".jpg", subject=given["lesion_id"], lesion=given["lesion_id"])
    given[["image", "subject", "lesion", "age", "sex", "site"]].to_csv(home / "metadata.csv", index=False)


def ham10000_masks(data: Path, table: pd.DataFrame, home: Path) -> None:
    """Place images that have a mask, and the masks."""
    images, masks = data / "HAM10000_images_part_1", data / "HAM10000_segmentations_lesion_tschandl"
    masked = table[[(masks / f"{image}_segmentation.png").is_file() for image in table["image_id"]]]
    for image in masked["image_id"]:
        place(images / f"{image}.jpg", home / images.name / f"{image}.jpg")
        place(masks / f"{image}_segmentation.png", home / masks.name / f"{image}_segmentation.png")
    masked.to_csv(home / "HAM10000_metadata.csv", index=False)


def pad_ufes(data: Path, landing: Path) -> None:
    """Cut PAD-UFES-20 by patient."""
    table = pd.read_csv(data / "metadata.csv")
    sides = table["patient_id"].map(lambda patient: side(patient, 0.75))
    images = data / "imgs_part_1"
    home = landing / "benchmarks" / "pad_ufes"
    for image in table.loc[sides == "benchmark", "img_id"]:
        place(images / image, home / images.name / image)
    table[sides == "benchmark"].to_csv(home / "metadata.csv", index=False)
    for row in table[sides == "source"].itertuples():
        place(images / row.img_id, landing / "edu1" / row.diagnostic / row.img_id)


def isic2024(data: Path, landing: Path) -> None:
    """Cut the ISIC 2024 tiles by id (this subset carries no patient ids)."""
    table = pd.read_csv(data / "train-metadata.csv")
    sides = table["isic_id"].map(lambda image: side(image, 0.5))
    for name, home in (("benchmark", landing / "benchmarks" / "isic2024"), ("source", landing / "isic2024")):
        part = table[sides == name]
        for image in part["isic_id"]:
            place(data / "train-image" / "image" / f"{image}.jpg", home / "train-image" / "image" / f"{image}.jpg")
        part.to_csv(home / "train-metadata.csv", index=False)


def histology(data: Path, landing: Path) -> None:
    """Deliver every H&E tile."""
    home = landing / "uah89k"
    for file in sorted((data / "tiles").iterdir()):
        place(file, home / "tiles" / file.name)
    place(data / "tiles.csv", home / "tiles.csv")


def main() -> None:
    """Fill WORKSPACE/landing from DATA."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--all-masks", action="store_true", help="deliver every mask as the benchmark ham10000_seg")
    given = parser.parse_args()
    data, landing = given.data, given.workspace / "landing"
    if landing.exists():
        sys.exit(f"{landing} exists; remove it or name another workspace")
    derm = partial(ham10000, all_masks=given.all_masks)
    for name, part in (("ham10000", derm), ("pad_ufes_20", pad_ufes), ("isic2024", isic2024), ("histology", histology)):
        if not (data / name).is_dir():
            sys.exit(f"{data / name} is missing; put the public set there in its native layout")
        part(data / name, landing)
        print(f"laid out {name}")


if __name__ == "__main__":
    main()
