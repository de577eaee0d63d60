from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import webdataset
from PIL import Image, PngImagePlugin

from panderm import ingest
from panderm.catalog import Dataset, dataset
from panderm.core.errors import ConfigError, InputError
from panderm.core.files import exclusive, sha256_bytes, sha256_file, write_json
from panderm.core.reasons import Reason
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, read_table
from panderm.imaging.shards import read_image_bytes

CONFIG = ingest.Config(workers=0, shard_images=4)
FOLDERS = dataset("edu1")  # a folder a condition: the least metadata
TABLE = dataset("benchmarks/ham10000")


def photo(seed: int, kind: str = "JPEG", **options: Any) -> bytes:
    """A small file with a picture of its own."""
    pixels = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC).save(stream, kind, **options)
    return stream.getvalue()


class Place:
    """A landing folder and its staging."""

    def __init__(self, root: Path) -> None:
        self.landing, self.staged = root / "landing" / "edu1", root / ".staging" / "edu1"

    def deliver(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.landing / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def photos(self, *seeds: int, folder: str = "Naevus") -> None:
        self.deliver({f"{folder}/p{seed:03d}.jpg": photo(seed) for seed in seeds})

    def ingest(self, row: Dataset = FOLDERS, **settings: Any) -> Record:
        return ingest.run(CONFIG.model_copy(update=settings), row, self.landing, self.staged)

    @property
    def manifest(self) -> pd.DataFrame:
        return read_table(self.staged / "manifest.parquet", MANIFEST)

    @property
    def quarantine(self) -> dict[str, str]:
        table = read_table(self.staged / "quarantine.parquet", QUARANTINE)
        return dict(zip(table["path"], table["reason"], strict=True))

    def detail(self, path: str) -> str:
        table = read_table(self.staged / "quarantine.parquet", QUARANTINE).set_index("path")
        return str(table.loc[path, "detail"])

    def state(self, *, times: bool = False) -> dict[str, Any]:
        """Every file of staging with its hash and, if asked, its time of change."""
        files = sorted(path for path in self.staged.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.staged)): (sha256_file(path), path.stat().st_mtime_ns if times else 0) for path in files
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


TROUBLE: dict[str, bytes] = {
    "Naevus/cut.jpg": photo(90)[:-300],
    "Naevus/notes.jpg": b"Dear colleague, the photos follow.",
    "Naevus/scan.tif": photo(91, "TIFF"),
    "Naevus/again.jpg": photo(1),
    "Naevus/Thumbs.db": b"litter",
    "loose.jpg": photo(92),
}


def test_run__every_file_is_an_image_or_in_quarantine(place: Place) -> None:
    place.photos(1, 2, 3)
    place.deliver(TROUBLE | {"Eczema/e.png": photo(4, "PNG")})
    (place.landing / "Eczema" / "link.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(place.landing / "Eczema" / "pipe.jpg")
    record = place.ingest()
    assert set(place.manifest["path"]) == {"Naevus/again.jpg", "Naevus/p002.jpg", "Naevus/p003.jpg", "Eczema/e.png"}
    assert place.quarantine == {
        "Eczema/link.jpg": Reason.UNREADABLE,
        "Eczema/pipe.jpg": Reason.UNREADABLE,
        "Naevus/Thumbs.db": Reason.UNEXPECTED_FILE,
        "Naevus/cut.jpg": Reason.TRUNCATED,
        "Naevus/notes.jpg": Reason.NOT_AN_IMAGE,
        "Naevus/p001.jpg": Reason.DUPLICATE_BYTES,
        "Naevus/scan.tif": Reason.FORMAT_NOT_ALLOWED,
        "loose.jpg": Reason.NO_METADATA,
    }
    assert place.detail("Naevus/p001.jpg") == "the same bytes as Naevus/again.jpg"
    assert record.counts == {
        "files_in_landing": 12,
        "images": 4,
        "kept_images": 0,
        "quarantined_files": 8,
        "quarantined_rows": 0,
        "metadata_files": 0,
        "shards": 1,
        "new_images": 4,
    }
    assert ingest.counts_add_up(record.counts)
    assert not ingest.counts_add_up(record.counts | {"quarantined_files": 7})


def test_run__quarantine_names_the_very_bytes(place: Place) -> None:
    place.photos(1)
    place.deliver(TROUBLE)
    place.ingest()
    table = read_table(place.staged / "quarantine.parquet", QUARANTINE)
    for row in table.itertuples():
        data = (place.landing / row.path).read_bytes()
        assert (row.delivered_sha256, row.delivered_bytes) == (sha256_bytes(data), len(data)), row.path


def test_run__manifest_says_where_each_image_lies_and_what_it_is(place: Place) -> None:
    place.photos(*range(6))
    place.deliver({"Eczema/e.png": photo(7, "PNG")})
    place.ingest()
    manifest = place.manifest
    assert manifest["shard"].str.fullmatch(r"shards/00000[01]-[0-9a-f]{8}\.tar").all()
    assert manifest[["shard", "offset"]].apply(tuple, axis=1).is_monotonic_increasing
    for row in manifest.itertuples():
        data = read_image_bytes(place.staged, row.shard, row.offset, row.nbytes)
        assert sha256_bytes(data) == row.stored_sha256
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == (row.delivered_format, (row.width, row.height))
            assert image.format == "PNG" or image.layer[0][1:3] == (1, 1), "4:4:4: no channel is subsampled"
        assert row.delivered_sha256 == sha256_file(place.landing / row.path)
        assert len(row.phash) == 16


def test_run__shards_are_plain_webdataset(place: Place) -> None:
    place.photos(*range(5))
    place.ingest()
    urls = [str(place.staged / shard) for shard in place.manifest["shard"].unique()]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == list(place.manifest["image_id"])
    facts = json.loads(samples[0]["json"])
    size = {"width": 48, "height": 40}
    named = {"dataset": "edu1", "image_id": samples[0]["__key__"]}
    assert facts == named | size | {"stored_sha256": sha256_bytes(samples[0]["jpg"])}
    with tarfile.open(urls[0]) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, 0, "", "")}


def test_run__second_run_changes_no_byte_and_no_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.photos(*range(6))
    place.deliver(TROUBLE)
    first = place.ingest()
    before = place.state(times=True)
    opened: list[str] = []
    monkeypatch.setattr("panderm.ingestion.workers.store", lambda job: opened.append(job.path))
    second = place.ingest()
    assert place.state(times=True) == before
    assert opened == []
    assert second == first.model_copy(update={"counts": first.counts | {"new_images": 0}})


def test_run__new_delivery_adds_only_new_shards(place: Place) -> None:
    place.photos(*range(6))
    place.ingest()
    before = place.state(times=True)
    place.photos(*range(6, 9), folder="Acne")  # sorts before all that was there
    assert place.ingest().counts["new_images"] == 3
    shards = {name: fact for name, fact in before.items() if name.startswith("shards/")}
    after = place.state(times=True)
    assert {name: after[name] for name in shards} == shards
    assert len([name for name in after if name.startswith("shards/")]) == len(shards) + 1
    assert len(place.manifest) == 9


def test_run__touched_file_is_not_stored_again(place: Place) -> None:
    place.photos(1, 2)
    place.ingest()
    manifest = place.manifest
    os.utime(place.landing / "Naevus/p001.jpg", (1, 1))
    assert place.ingest().counts["new_images"] == 0
    pd.testing.assert_frame_equal(place.manifest, manifest)
    before = place.state(times=True)
    place.ingest()
    assert place.state(times=True) == before


def test_run__other_bytes_at_the_same_path_supersede(place: Place) -> None:
    place.photos(1, 2)
    place.ingest()
    place.deliver({"Naevus/p001.jpg": photo(50)})
    place.ingest()
    row = place.manifest.set_index("path").loc["Naevus/p001.jpg"]
    assert row["delivered_sha256"] == sha256_bytes(photo(50))
    assert row["shard"].startswith("shards/000001")
    assert len(place.manifest) == 2


def test_run__duplicate_takes_the_place_of_a_superseded_first(place: Place) -> None:
    place.photos(1)
    place.deliver({"Naevus/z.jpg": photo(1)})
    place.ingest()
    assert place.quarantine == {"Naevus/z.jpg": Reason.DUPLICATE_BYTES}
    place.deliver({"Naevus/p001.jpg": photo(50)})
    place.ingest()
    assert place.quarantine == {}
    assert set(place.manifest["path"]) == {"Naevus/p001.jpg", "Naevus/z.jpg"}


def test_run__cleared_file_keeps_its_row(place: Place) -> None:
    place.photos(1, 2)
    place.ingest()
    manifest = place.manifest
    (place.landing / "Naevus/p001.jpg").unlink()
    record = place.ingest()
    pd.testing.assert_frame_equal(place.manifest, manifest)
    assert (record.counts["files_in_landing"], record.counts["images"], record.counts["kept_images"]) == (1, 2, 1)


def test_run__moved_file_takes_its_image_along(place: Place) -> None:
    place.photos(1, 2)
    place.ingest()
    (place.landing / "Melanoma").mkdir()
    (place.landing / "Naevus/p001.jpg").rename(place.landing / "Melanoma/p001.jpg")
    assert place.ingest().counts["new_images"] == 0
    row = place.manifest.set_index("path").loc["Melanoma/p001.jpg"]
    assert (row["label"], row["shard"][:13]) == ("Melanoma", "shards/000000")
    assert len(place.manifest) == 2
    assert place.quarantine == {}


def test_run__same_pixels_with_other_tags_are_a_duplicate(place: Place) -> None:
    place.deliver({"Naevus/a.jpg": photo(1), "Naevus/b.jpg": photo(1, comment=b"seen by a colleague")})
    place.ingest()
    assert place.quarantine == {"Naevus/b.jpg": Reason.DUPLICATE_BYTES}
    assert place.detail("Naevus/b.jpg") == "the same pixels as Naevus/a.jpg, other tags"


def ham(place: Place, labels: dict[str, str]) -> None:
    lines = [f"HAM_{image},{image},{label},histo,45.0,male,back" for image, label in labels.items()]
    table = "\n".join(["lesion_id,image_id,dx,dx_type,age,sex,localization", *lines])
    place.deliver({f"HAM10000_images_part_1/{image}.jpg": photo(seed) for seed, image in enumerate(labels)})
    place.deliver({"HAM10000_metadata.csv": table.encode()})


def test_run__a_picture_that_is_listed_twice_says_where_its_split_and_label_differ(place: Place) -> None:
    lines = ["image,label,split", "a.jpg,mel,train", "b.jpg,nv,test", "c.jpg,mel,train", "d.jpg,nv,train"]
    place.deliver({"panderm.csv": "\n".join(lines).encode(), "a.jpg": photo(1), "b.jpg": photo(1)})
    place.deliver({"c.jpg": photo(2), "d.jpg": photo(3), "e.jpg": photo(2)})
    place.ingest(TABLE)
    told = "its split is 'test', that one's, which counts, 'train'; its label is 'nv', that one's, which counts, 'mel'"
    assert place.detail("b.jpg") == f"the same bytes as a.jpg; {told}"


def test_run__corrected_label_changes_the_manifest_and_no_shard(place: Place) -> None:
    ham(place, {"ISIC_1": "nv", "ISIC_2": "nv", "ISIC_3": "wart"})
    record = place.ingest(TABLE)
    assert (record.counts["metadata_files"], record.counts["images"], record.counts["quarantined_files"]) == (1, 2, 1)
    shards = {name: fact for name, fact in place.state(times=True).items() if name.startswith("shards/")}
    ham(place, {"ISIC_1": "mel", "ISIC_2": "nv", "ISIC_3": "wart"})
    assert place.ingest(TABLE).counts["new_images"] == 0
    assert place.manifest.set_index("image_id")["label"].to_dict() == {"ISIC_1": "mel", "ISIC_2": "nv"}
    assert {name: fact for name, fact in place.state(times=True).items() if name.startswith("shards/")} == shards


def test_run__label_unknown_for_a_while_costs_nothing(place: Place) -> None:
    ham(place, {"ISIC_1": "nv", "ISIC_2": "nv"})
    place.ingest(TABLE)
    manifest = place.manifest
    ham(place, {"ISIC_1": "wart", "ISIC_2": "nv"})
    place.ingest(TABLE)
    assert list(place.manifest["image_id"]) == ["ISIC_2"]
    assert list(place.quarantine.values()) == [Reason.UNKNOWN_LABEL]
    ham(place, {"ISIC_1": "nv", "ISIC_2": "nv"})
    assert place.ingest(TABLE).counts["new_images"] == 0
    pd.testing.assert_frame_equal(place.manifest, manifest)


def test_run__row_of_a_cleared_image_is_not_missing(place: Place) -> None:
    ham(place, {"ISIC_1": "nv", "ISIC_2": "nv"})
    place.ingest(TABLE)
    shutil.rmtree(place.landing / "HAM10000_images_part_1")
    record = place.ingest(TABLE)
    assert place.quarantine == {}
    assert record.counts["kept_images"] == record.counts["images"] == 2


def test_run__worker_processes_write_the_same_bytes(place: Place) -> None:
    place.photos(*range(10))
    place.deliver(TROUBLE)
    place.ingest()
    alone = place.state()
    shutil.rmtree(place.staged)
    place.ingest(workers=2, pool_from=1)
    assert place.state() == alone


def test_run__record_names_no_time_and_no_place(place: Place) -> None:
    place.photos(1)
    place.ingest()
    text = (place.staged / "record.json").read_text()
    assert str(place.landing.parent.parent) not in text
    record = Record.load(place.staged)
    assert record.hashes["manifest"] == sha256_file(place.staged / "manifest.parquet")
    assert record.config == {"pixel_cap": 50_000_000, "byte_cap": 300_000_000, "jpeg_quality": 95}
    assert "new_images" not in record.counts


def test_run__caps_on_bytes_and_pixels(place: Place) -> None:
    place.photos(1)
    place.deliver({"Naevus/large.jpg": photo(2) + bytes(5_000), "Naevus/wide.png": photo(3, "PNG") + bytes(0)})
    place.ingest(byte_cap=5_000, pixel_cap=1_000)
    assert place.quarantine == {
        "Naevus/large.jpg": Reason.TOO_LARGE,
        "Naevus/p001.jpg": Reason.TOO_MANY_PIXELS,
        "Naevus/wide.png": Reason.TOO_MANY_PIXELS,
    }


def test_run__changed_settings_are_refused(place: Place) -> None:
    place.photos(1)
    place.ingest()
    with pytest.raises(ConfigError, match=r"jpeg_quality 95 -> 80.*restore them, or remove"):
        place.ingest(jpeg_quality=80)
    place.ingest(shard_images=2)  # says nothing about stored bytes


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
def test_run__no_delivery(place: Place, made: bool) -> None:
    if made:
        place.landing.mkdir(parents=True)
    with pytest.raises(InputError, match="put edu1's delivery there"):
        place.ingest()
    assert not place.staged.exists()


def test_run__unwritable_out(place: Place) -> None:
    place.photos(1)
    place.staged.parent.parent.mkdir(exist_ok=True)
    place.staged.parent.write_text("a file where a folder has to be")
    with pytest.raises(InputError, match=r"cannot write .*edu1"):
        place.ingest()


def test_run__full_disk_is_one_sentence_and_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.photos(*range(6))
    real, calls = tarfile.TarFile.addfile, []

    def full(self: tarfile.TarFile, *args: Any) -> None:
        calls.append(1)
        if len(calls) > 10:
            raise OSError(28, "No space left on device")
        real(self, *args)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(InputError, match="No space left on device"):
        place.ingest()
    monkeypatch.undo()
    place.ingest()
    resumed = place.state()
    shutil.rmtree(place.staged)
    place.ingest()
    assert place.state() == resumed


def test_run__one_at_a_time(place: Place) -> None:
    place.photos(1)
    place.staged.mkdir(parents=True)
    with exclusive(place.staged, "ingest of edu1"), pytest.raises(InputError, match="in use by another ingest of edu1"):
        place.ingest()


def test_run__delivery_that_changes_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.photos(1)
    real = ingest.read

    def late(*args: Any) -> Any:
        place.photos(2)
        return real(*args)

    monkeypatch.setattr(ingest, "read", late)
    with pytest.raises(InputError, match=r"changed while it was read .*p002.jpg"):
        place.ingest()


def test_run__knows_a_twin_by_its_receipt(place: Place) -> None:
    place.photos(1, 2)
    receipt = place.landing.parent / ".synthetic" / "edu1.json"
    write_json(receipt, {f"Naevus/p00{n}.jpg": {"job": "", "sha256": sha256_bytes(photo(n))} for n in (1, 2)})
    assert place.ingest().values["synthetic"] is True
    place.deliver({"licence.txt": b"in-house"})
    assert place.ingest().values["synthetic"] is True, "a line about terms makes no drawn picture real"
    place.photos(3)
    assert place.ingest().values["synthetic"] is False, "one real photo among them and it is no twin"


CANARIES = (
    "KANARI-exif",
    "KANARI-gps",
    "KANARI-xmp",
    "KANARI-iptc",
    "KANARI-comment",
    "KANARI-text",
    "KANARI-itxt",
    "KANARI-icc",
)


def marked_jpeg(seed: int) -> bytes:
    tags = Image.Exif()
    tags[0x013B] = tags[0x010E] = CANARIES[0]
    tags.get_ifd(0x8825)[0x001D] = CANARIES[1]
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + (len(CANARIES[3]) + 5).to_bytes(4, "big")
    iptc += b"\x1c\x02\x50" + len(CANARIES[3]).to_bytes(2, "big") + CANARIES[3].encode() + b"\0"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>{CANARIES[2]}</dc:creator></x:xmpmeta>'.encode()
    data = photo(seed, exif=tags, xmp=xmp, comment=CANARIES[4].encode(), icc_profile=CANARIES[7].encode() * 20)
    segment = b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc
    return data[:2] + segment + data[2:] + b"KANARI-after-the-end"


def marked_png(seed: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", CANARIES[5])
    info.add_itxt("XML:com.adobe.xmp", CANARIES[6], zip=False)
    return photo(seed, "PNG", pnginfo=info, icc_profile=CANARIES[7].encode() * 20) + b"KANARI-after-the-end"


def test_run__no_tag_survives_anywhere(place: Place) -> None:
    delivered = {"Naevus/a.jpg": marked_jpeg(1), "Naevus/b.png": marked_png(2), "Naevus/cut.jpg": marked_jpeg(3)[:-400]}
    place.deliver(delivered)
    place.photos(5)
    found = b"".join(delivered.values())
    assert all(canary.encode() in found for canary in CANARIES if canary != "KANARI-icc"), "the canaries must be planted"
    place.ingest()
    assert len(place.manifest) == 3
    for path in place.staged.rglob("*"):
        if path.is_file():
            assert b"KANARI" not in path.read_bytes(), path.name
        if path.suffix == ".parquet":  # compressed, so look inside too
            assert "KANARI" not in pd.read_parquet(path).to_csv(), path.name
    for row in place.manifest.itertuples():
        with Image.open(io.BytesIO(read_image_bytes(place.staged, row.shard, row.offset, row.nbytes))) as image:
            assert not set(image.info) & {"exif", "icc_profile", "comment", "photoshop", "xmp", "XML:com.adobe.xmp", "Author"}


def run_until_rename(place: Place, number: int) -> bool:
    """Ingest in a child that is gone, without a word, at its ``number``-th rename; return whether it came to the end."""
    child = os.fork()
    if child == 0:
        renames, real = [0], os.replace

        def replace(*args: Any) -> None:
            renames[0] += 1
            if renames[0] == number:
                os._exit(9)
            real(*args)

        os.replace = replace
        try:
            place.ingest()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def visible(place: Place) -> set[str]:
    """Names that a reader could take for finished files."""
    return {name for name in place.state() if ".aside-" not in name and not name.endswith("next.tar")}


@pytest.mark.slow
def test_run__killed_at_any_rename_ends_as_if_nothing_had_happened(place: Place) -> None:
    place.photos(*range(4))
    place.ingest()
    before = place.staged.with_name("before")
    shutil.copytree(place.staged, before)
    place.photos(*range(4, 14))
    place.deliver(TROUBLE)
    place.ingest()
    whole = place.state()
    number, done = 0, False
    while not done:
        number += 1
        shutil.rmtree(place.staged)
        shutil.copytree(before, place.staged)
        done = run_until_rename(place, number)
        assert visible(place) <= set(whole), f"something half-written after rename {number}"
        assert read_table(place.staged / "manifest.parquet", MANIFEST).shape[0] in (4, len(whole) and 14)
        place.ingest()
        assert place.state() == whole, f"killed at rename {number}"
    assert number > 10, "three shards, three parts, two tables, one record: every commit was hit"


@pytest.mark.slow
def test_run__killed_by_the_kernel_leaves_no_worker_and_no_trace(place: Place) -> None:
    place.photos(*range(100))
    place.ingest()
    whole = place.state()
    code = (
        "import sys; from pathlib import Path; from panderm import ingest; from panderm.catalog import dataset\n"
        "if __name__ == '__main__':\n"
        "    config = ingest.Config(workers=2, pool_from=1, shard_images=4)\n"
        "    ingest.run(config, dataset('edu1'), Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    script = place.landing.parent / "script.py"
    script.write_text(code)
    shutil.rmtree(place.staged)
    chance = random.Random(0)
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, str(script), str(place.landing), str(place.staged)], stderr=subprocess.DEVNULL
        )
        parts = place.staged / "ledger"
        goal = 3 + 6 * kill
        while process.poll() is None and len(list(parts.glob("[0-9]*"))) < goal:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert place.staged.is_dir()
    place.ingest()
    assert place.state() == whole
    deadline = time.monotonic() + 20
    while (left := workers_of(str(script))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def workers_of(script: str) -> list[str]:
    """Processes still alive whose working files name the script's folder: spawn passes the main script's path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if script.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_run__takes_the_terms_that_come_with_a_delivery_and_keeps_them(place: Place) -> None:
    place.photos(1, 2)
    assert "licence" not in place.ingest().values, "no terms were delivered, so none are recorded"
    place.deliver({"LICENCE.txt": b"\xef\xbb\xbfCC-BY-NC-4.0 \nthe rest is for people\n"})
    record = place.ingest()
    assert record.values["licence"] == "CC-BY-NC-4.0"
    assert record.counts["metadata_files"] == 1
    assert place.quarantine == {}
    (place.landing / "LICENCE.txt").unlink()
    place.photos(3)
    assert place.ingest().values["licence"] == "CC-BY-NC-4.0", "a later delivery without terms must not free the earlier one"


@pytest.mark.parametrize(("text", "seen"), [(b"\nMIT", "has an empty first line"), (b"x" * 900, "has 900 characters")])
def test_run__terms_that_name_nothing_are_refused(place: Place, text: bytes, seen: str) -> None:
    place.photos(1)
    place.deliver({"licence.txt": text})
    with pytest.raises(InputError, match=rf"licence\.txt {seen}.* SPDX identifier such as CC-BY-4\.0"):
        place.ingest()
