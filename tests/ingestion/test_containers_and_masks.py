"""Ingest of images without a file of their own, and of images with masks."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm import ingest
from panderm.catalog import dataset
from panderm.core.files import sha256_bytes
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, read_table
from panderm.imaging.shards import read_image_bytes

TILES, MASKED = dataset("benchmarks/isic2024"), dataset("benchmarks/isic2018_seg")
CONFIG = ingest.Config(workers=0, shard_images=3)


def photo(seed: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(stream, kind)
    return stream.getvalue()


def mask(values: Any, size: tuple[int, int] = (48, 40), mode: str = "L") -> bytes:
    stream = io.BytesIO()
    pixels = np.zeros((size[1], size[0]), dtype=np.uint8)
    pixels[10:20, 10:30] = values
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    return stream.getvalue()


class Place:
    """A landing folder and its staging."""

    def __init__(self, root: Path) -> None:
        self.landing, self.staged = root / "landing" / "x", root / "staged"

    def deliver(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            (self.landing / name).parent.mkdir(parents=True, exist_ok=True)
            (self.landing / name).write_bytes(data)

    def pack(self, members: dict[str, bytes], when: int) -> None:
        self.landing.mkdir(parents=True, exist_ok=True)
        path = self.landing / "train-image.hdf5"
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            for name, data in members.items():
                file[name] = np.void(data)
        os.utime(path, ns=(when * 10**9, when * 10**9))
        rows = "".join(f"{name},{number % 2}\n" for number, name in enumerate(name for name in members if name != "unlisted"))
        self.deliver({"train-metadata.csv": f"isic_id,target\n{rows}".encode()})

    def ingest(self, row: Any = TILES, **settings: Any) -> Record:
        return ingest.run(CONFIG.model_copy(update=settings), row, self.landing, self.staged)

    @property
    def manifest(self) -> pd.DataFrame:
        return read_table(self.staged / "manifest.parquet", MANIFEST)

    @property
    def quarantine(self) -> dict[str, tuple[str, str]]:
        table = read_table(self.staged / "quarantine.parquet", QUARANTINE)
        return dict(zip(table["path"], zip(table["reason"], table["detail"], strict=True), strict=True))

    def stored(self, image_id: str) -> Image.Image:
        row = self.manifest.set_index("image_id").loc[image_id]
        return Image.open(io.BytesIO(read_image_bytes(self.staged, row["shard"], row["offset"], row["nbytes"])))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


FIVE = {f"ISIC_{n}": photo(n) for n in range(1, 6)}


def test_members__are_images_of_their_own_and_counts_add_up(place: Place) -> None:
    place.pack(FIVE | {"ISIC_6": b"no image", "ISIC_7": photo(1), "unlisted": photo(9)}, when=100)
    record = place.ingest()
    assert {
        key: record.counts[key] for key in ("files_in_landing", "members", "images", "quarantined_files", "metadata_files")
    } == {
        "files_in_landing": 2 + 8,
        "members": 8,
        "images": 5,
        "quarantined_files": 3,
        "metadata_files": 2,
    }
    row = place.manifest.set_index("path").loc["train-image.hdf5#ISIC_3"]
    data = FIVE["ISIC_3"]
    assert (row["image_id"], row["delivered_sha256"], row["delivered_bytes"]) == ("ISIC_3", sha256_bytes(data), len(data))
    assert {path.partition("#")[2]: reason for path, (reason, _) in place.quarantine.items()} == {
        "ISIC_6": "not_an_image",
        "ISIC_7": "duplicate_bytes",
        "unlisted": "no_metadata",
    }


def test_members__are_stored_as_the_folder_would_be(place: Place, tmp_path: Path) -> None:
    place.pack(FIVE, when=100)
    place.ingest()
    folder = Place(tmp_path / "folder")
    folder.deliver({f"train-image/image/{name}.jpg": data for name, data in FIVE.items()})
    folder.deliver({"train-metadata.csv": (place.landing / "train-metadata.csv").read_bytes()})
    folder.ingest()
    own = ["path", "dataset", "shard"]
    pd.testing.assert_frame_equal(place.manifest.drop(columns=own), folder.manifest.drop(columns=own))
    folder.deliver({"train-image.hdf5": (place.landing / "train-image.hdf5").read_bytes()})
    again = folder.ingest()
    assert again.counts["new_images"] == 0, "where both are delivered the folder counts"
    assert again.counts["metadata_files"] == 2
    assert "members" not in again.counts


def test_members__are_opened_again_only_when_the_container_changes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.pack(FIVE, when=100)
    first = place.ingest()
    opened: list[str] = []
    real = ingest.look_at
    monkeypatch.setattr(ingest, "look_at", lambda jobs, *rest: real(opened.extend(job.path for job in jobs) or jobs, *rest))  # type: ignore[func-returns-value]
    assert place.ingest() == first.model_copy(update={"counts": first.counts | {"new_images": 0}})
    assert opened == []
    place.pack(FIVE | {"ISIC_2": photo(22), "ISIC_6": photo(6)}, when=200)
    assert place.ingest().counts["new_images"] == 2
    assert len(opened) == 2 + 6, "both files and all six members"
    rows = place.manifest.set_index("image_id")
    assert rows.loc["ISIC_2", "delivered_sha256"] == sha256_bytes(photo(22))
    assert len(rows) == 6
    (place.landing / "train-image.hdf5").unlink()
    cleared = place.ingest()
    assert (cleared.counts["images"], cleared.counts["kept_images"], place.quarantine) == (6, 6, {})


def test_members__of_a_damaged_container_are_missing_files(place: Place) -> None:
    place.pack(FIVE, when=100)
    path = place.landing / "train-image.hdf5"
    path.write_bytes(path.read_bytes()[:900])
    place.ingest()
    assert place.manifest.empty
    assert place.quarantine["train-image.hdf5"][0] == "truncated"
    assert place.quarantine["ISIC_1"][0] == "missing_file"


def test_members__worker_processes_write_the_same_bytes(place: Place, tmp_path: Path) -> None:
    place.pack(FIVE, when=100)
    place.ingest()
    alone = place.manifest
    other = Place(tmp_path)
    other.staged = tmp_path / "other"
    other.ingest(workers=2, pool_from=1)
    pd.testing.assert_frame_equal(other.manifest, alone)


INPUT, TRUTH = "ISIC2018_Task1-2_Training_Input/ISIC_", "ISIC2018_Task1_Training_GroundTruth/ISIC_"


def pairs(**masks: bytes) -> dict[str, bytes]:
    files = {f"{INPUT}{name}.jpg": photo(number) for number, name in enumerate(masks)}
    return files | {f"{TRUTH}{name}_segmentation.png": data for name, data in masks.items()}


def test_masks__are_stored_as_two_values_and_may_be_alike(place: Place) -> None:
    palette = mask(1, mode="P")
    place.deliver(pairs(a=mask(255), b=mask(255), c=mask(1), d=palette, e=mask(np.tile([200, 90], 10))))
    record = place.ingest(MASKED)
    assert (record.counts["images"], record.counts["quarantined_files"]) == (10, 0)
    rows = place.manifest.set_index("image_id")
    assert set(rows.loc[rows["role"] == "mask", "mask_of"]) == {f"ISIC_{name}" for name in "abcde"}
    for name in "abcd":
        stored = place.stored(f"ISIC_{name}_mask")
        assert (stored.mode, stored.getextrema(), np.asarray(stored).sum()) == ("L", (0, 255), 255 * 200)
    assert np.asarray(place.stored("ISIC_e_mask"))[15, 10:14].tolist() == [255, 0, 255, 0], "split at half of the largest"
    before = place.manifest
    assert place.ingest(MASKED).counts["new_images"] == 0
    pd.testing.assert_frame_equal(place.manifest, before)


def test_masks__what_is_wrong_with_one_half_keeps_both_out(place: Place) -> None:
    place.deliver(pairs(good=mask(255), small=mask(255, (40, 40)), empty=mask(0), cut=mask(255)[:60], lost=mask(255)))
    place.deliver({f"{INPUT}lost.jpg": b"no image"})
    record = place.ingest(MASKED)
    assert list(place.manifest["image_id"]) == ["ISIC_good", "ISIC_good_mask"]
    assert record.counts["quarantined_files"] == 8
    said = place.quarantine
    assert said[f"{TRUTH}small_segmentation.png"] == (
        "bad_mask",
        f"the mask has 40 x 40 pixels, its image {INPUT}small.jpg has 48 x 40 pixels; deliver the right mask",
    )
    assert said[f"{INPUT}small.jpg"][0] == "bad_mask"
    assert said[f"{TRUTH}empty_segmentation.png"] == (
        "bad_mask",
        "the mask is empty: no pixel is marked; deliver the right one",
    )
    assert said[f"{INPUT}empty.jpg"] == ("bad_mask", f"its mask {TRUTH}empty_segmentation.png was refused")
    assert (said[f"{TRUTH}cut_segmentation.png"][0], said[f"{INPUT}cut.jpg"][0]) == ("truncated", "bad_mask")
    assert (said[f"{INPUT}lost.jpg"][0], said[f"{TRUTH}lost_segmentation.png"][0]) == ("not_an_image", "bad_mask")


def test_masks__a_pair_is_mended_by_the_right_mask(place: Place) -> None:
    place.deliver(pairs(a=mask(255, (40, 40)), b=mask(255)))
    place.ingest(MASKED)
    assert list(place.manifest["image_id"]) == ["ISIC_b", "ISIC_b_mask"]
    place.deliver({f"{TRUTH}a_segmentation.png": mask(255)})
    assert place.ingest(MASKED).counts["new_images"] == 1, "only the mask: its image is stored already"
    assert sorted(place.manifest["image_id"]) == ["ISIC_a", "ISIC_a_mask", "ISIC_b", "ISIC_b_mask"]
    assert place.quarantine == {}
