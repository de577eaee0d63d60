"""What holds for every reader, whatever its layout."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any

import pytest

from panderm.catalog import dataset, delivered_datasets
from panderm.core.errors import InputError
from panderm.core.reasons import Reason
from panderm.core.tables import DELIVERED
from panderm.readers import Delivery, read
from panderm.readers.listing import list_files

KEYS = [row.key for row in delivered_datasets()]
NO_CSV = ("class_folders", "med_node", "dermnet", "sd", "ph2", "isic2018_seg")
BY_READER = list({(dataset(key).reader, bool(dataset(key).classes)): key for key in KEYS}.values())
TABLED = [key for key in BY_READER if dataset(key).reader not in NO_CSV]
LITTER: dict[str, str | bytes] = {
    ".DS_Store": b"\0",
    "Thumbs.db": b"\0",
    "notes from the clinic.txt": "hello",
    "images/.hidden.jpg": b"x",
    "tiles/._1.jpeg": b"x",
    "HAM10000_images_part_1/readme.pdf": b"x",
    "train-image/image/scan.gif": b"x",
    "unexpected folder/deep/er/photo.jpg": b"x",
}


def assert_sorted(delivery: Delivery, landing: Path) -> None:
    """Every file is in exactly one of rows, rejects, metadata files; all three are well-formed."""
    files = sorted([*list_files(landing), *delivery.members])
    refused_files = [path for path in delivery.rejects["path"] if path in set(files)]
    assert sorted([*delivery.rows["path"], *refused_files, *delivery.metadata_files]) == files
    assert list(delivery.rows.columns) == DELIVERED.names
    assert delivery.rows["image_id"].is_unique
    assert delivery.rows["image_id"].str.fullmatch(r"[A-Za-z0-9_-]+").all()
    assert delivery.rows[["path", "image_id", "modality"]].notna().all(axis=None)
    assert delivery.rows["path"].is_monotonic_increasing
    assert delivery.rejects["path"].is_monotonic_increasing
    assert set(delivery.rejects["reason"]) <= {reason.value for reason in Reason}
    assert delivery.rejects.notna().all(axis=None)


@pytest.mark.parametrize("key", KEYS)
def test_reader__exists_for_every_row_of_the_catalogue(key: str) -> None:
    assert callable(importlib.import_module(f"panderm.readers.{dataset(key).reader}").read)


@pytest.mark.parametrize("key", KEYS)
def test_reader__puts_every_file_on_one_pile(key: str, landing: Any, layouts: Any) -> None:
    folder = landing(layouts[key] | LITTER)
    delivery = read(dataset(key), folder)
    assert_sorted(delivery, folder)
    assert len(delivery.rows) >= 2
    assert set(delivery.rows["modality"]) <= set(dataset(key).modalities)
    ids = [*delivery.rows["patient_id"].dropna(), *delivery.rows["lesion_id"].dropna()]
    assert all(value.startswith(f"{dataset(key).patient_namespace}:") for value in ids)


@pytest.mark.parametrize("key", BY_READER)
@pytest.mark.parametrize("seed", range(6))
def test_reader__survives_any_mutilation(key: str, seed: int, landing: Any, layouts: Any) -> None:
    """Rows doubled, cells lost, tables cut or scrambled: never an exception, never a file lost from sight."""
    rng = random.Random(f"{key}{seed}")
    files = dict(layouts[key] | LITTER)
    for name in [name for name in files if name.endswith(".csv")]:
        text = files[name]
        assert isinstance(text, str)
        header, *lines = text.splitlines()
        rng.shuffle(lines)
        lines += lines[:1]
        if seed == 1:
            lines = [",".join(cell for cell in line.split(",") if rng.random() < 0.7) for line in lines]
        mangled = "\n".join([header, *lines]) + "\n"
        files[name] = {
            0: mangled.replace(",", ";").encode("utf-16"),
            1: mangled.encode(),
            2: mangled[: rng.randrange(len(mangled))].encode(),
            3: bytes(rng.randrange(256) for _ in range(200)),
            4: b"",
            5: (mangled + '"never closed, \n').encode(),
        }[seed]
    folder = landing(files)
    assert_sorted(read(dataset(key), folder), folder)


@pytest.mark.parametrize("key", ["mym", "mmt", "benchmarks/isic2024", "benchmarks/mmt_74", "benchmarks/tbp_risk"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_reader__reads_the_encodings_of_spreadsheets(key: str, encoding: str, landing: Any, layouts: Any) -> None:
    plain = landing(layouts[key])
    expected = read(dataset(key), plain)
    for path in plain.rglob("*.csv"):
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    again = read(dataset(key), plain)
    assert again.rows.equals(expected.rows)
    assert again.rejects.equals(expected.rejects)


@pytest.mark.parametrize("key", TABLED)
def test_reader__refuses_images_whose_table_lacks_a_column(key: str, landing: Any, layouts: Any) -> None:
    folder = landing(layouts[key])
    for path in folder.rglob("*.csv"):
        if path.name != "subjects.csv":
            header, _, rest = path.read_text().partition("\n")
            path.write_text(",".join(f"old_{name}" for name in header.split(",")) + "\n" + rest)
    delivery = read(dataset(key), folder)
    assert_sorted(delivery, folder)
    assert delivery.rows.empty
    assert (delivery.rejects["reason"] == "missing_column").any()
    assert delivery.metadata_files, "the table itself was read"


@pytest.mark.parametrize("key", TABLED)
def test_reader__refuses_images_without_their_table(key: str, landing: Any, layouts: Any) -> None:
    folder = landing({name: content for name, content in layouts[key].items() if not name.endswith(".csv")} | {"a.txt": "x"})
    delivery = read(dataset(key), folder)
    assert_sorted(delivery, folder)
    assert delivery.rows.empty


def test_read__says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing; put mym's delivery there"):
        read(dataset("mym"), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is empty; put mym's delivery there"):
        read(dataset("mym"), tmp_path / "empty")


def test_read__never_leaves_the_landing_folder(landing: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    rows = f"../secret.jpg,Q1,L1,,,\n{tmp_path}/secret.jpg,Q1,L2,,,\n..\\secret.jpg,Q1,L3,,,\n"
    folder = landing({"metadata.csv": "image,subject,lesion,age,sex,site\n" + rows, "images/a.jpg": b"1"})
    delivery = read(dataset("mym_hop_derm"), folder)
    assert delivery.rows.empty
    assert list(delivery.rejects["reason"]).count("missing_file") == 2
    assert list(delivery.rejects["reason"]).count("duplicate_row") == 1


def test_list_files__follows_a_linked_folder_once(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "a.jpg").write_bytes(b"1")
    (tmp_path / "share" / "loop").symlink_to(tmp_path / "share")
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "images").symlink_to(tmp_path / "share")
    (tmp_path / "landing" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    assert list_files(tmp_path / "landing") == ["broken.jpg", "images/a.jpg"]
