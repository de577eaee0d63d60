from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from panderm.catalog import dataset, delivered_datasets, demo_datasets
from panderm.core.layout import benchmark_dataset
from panderm.readers import read
from panderm.twins import challenges
from panderm.twins.delivery import LAYOUTS, Packed, Photo, Plan, plan
from panderm.twins.layouts import ISIC_COLUMNS
from panderm.twins.shots import SCALES, TASKS, task_shots
from panderm.twins.trouble import TROUBLE

KEYS = [row.key for row in delivered_datasets() if row.reader != "slides"]  # of those: test_slides.py
DEMO = [row.key for row in demo_datasets()]
OF_ROWS = {"duplicate_row", "missing_file"}
REASON_OF = {"litter": "unexpected_file", "no_folder": "no_metadata", "mask_alone": "bad_mask"}
"""Trouble that the reader refuses for a reason of another name."""
OWN_NAME = ("no_metadata", "unknown_label", "held_out", "out_of_scope", "contradiction")


def has_table(one: Plan) -> bool:
    return any(path.endswith((".csv", "PH2_dataset.txt")) for path in one.files)


def laid(one: Plan, folder: Path) -> Path:
    """Write a plan with one byte an image; readers do not open them."""
    for path, content in one.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" if isinstance(content, Photo) else content)
    return folder


@pytest.mark.parametrize(
    ("key", "scale", "layout"),
    [(key, scale, "") for key in KEYS for scale in SCALES if key in DEMO or scale == "tiny"]
    + [(key, "demo", layout) for key, layout in challenges.LAYOUTS],
)
def test_plan__is_read_by_its_reader_with_the_planted_reasons_and_no_other(
    key: str, scale: str, layout: str, tmp_path: Path
) -> None:
    one = plan(dataset(key), 1, scale, layout=layout)  # type: ignore[arg-type]
    delivery = read(dataset(key), laid(one, tmp_path))
    reasons = dict(zip(delivery.rejects["path"], delivery.rejects["reason"], strict=True))
    expected = {path: REASON_OF.get(name, name) for name in (*REASON_OF, *OWN_NAME) for path in one.trouble.get(name, ())}
    by_row = {path: reason for path, reason in reasons.items() if path not in one.files}
    assert {path: reason for path, reason in reasons.items() if path in one.files} == expected
    assert set(by_row.values()) == OF_ROWS & set(one.trouble)
    photos = sum(isinstance(content, Photo) for content in one.files.values())
    assert len(delivery.rows) == photos - sum(path in one.files and not isinstance(one.files[path], bytes) for path in expected)
    assert delivery.rows["modality"].isin(list(dataset(key).modalities)).all()


@pytest.mark.parametrize("key", KEYS)
def test_plan__carries_all_trouble_that_the_table_names_for_it(key: str) -> None:
    one = plan(dataset(key), 1, "tiny")
    for trouble in TROUBLE:
        named = key in trouble.where.replace(" (one visit)", "").split(", ")
        everywhere = trouble.where == "every delivery" or (trouble.where == "every delivery with a table" and has_table(one))
        benchmarks = trouble.where == "benchmarks with labels" and bool(dataset(key).classes)
        assert (trouble.key in one.trouble) == (named or everywhere or benchmarks), trouble.key
    assert all(where for where in one.trouble.values())


@pytest.mark.parametrize("key", KEYS)
def test_plan__a_further_delivery_leaves_the_first_as_it_is(key: str) -> None:
    first, both = plan(dataset(key), 1, "tiny"), plan(dataset(key), 1, "tiny", 2)
    photos = {path: content for path, content in first.files.items() if isinstance(content, Photo)}
    assert all(both.files[path] == content for path, content in photos.items())
    assert len(both.files) > len(first.files) + 3


@pytest.mark.parametrize("key", KEYS)
def test_plan__broken_leaves_no_good_image_or_few(key: str, tmp_path: Path) -> None:
    one = plan(dataset(key), 1, "tiny", broken=True)
    delivery = read(dataset(key), laid(one, tmp_path))
    whole = [path for path in delivery.rows["path"] if not one.files[path].how]  # type: ignore[union-attr]
    assert len(whole) < 0.35 * sum(isinstance(content, Photo) for content in one.files.values())
    assert delivery.rows.empty or not has_table(one)


def test_plan__broken_breaks_the_other_layouts_too(tmp_path: Path) -> None:
    for key, layout in challenges.LAYOUTS:
        one = plan(dataset(key), 1, "tiny", broken=True, layout=layout)
        assert read(dataset(key), laid(one, tmp_path / layout)).rows.empty


def test_plan__another_layout_says_of_the_images_what_the_usual_one_does(tmp_path: Path) -> None:
    row = dataset("benchmarks/ham10000")
    usual = read(row, laid(plan(row, 1, "tiny"), tmp_path / "usual")).rows.set_index("image_id")
    for layout in ("archive", "isic2018"):
        rows = read(row, laid(plan(row, 1, "tiny", layout=layout), tmp_path / layout)).rows.set_index("image_id")
        assert rows["label"].equals(usual["label"][rows.index])
        assert set(rows["label"]) == set(usual["label"])
        assert rows["lesion_id"].notna().all()
        assert (rows["split"].dropna() == "train").all()


@pytest.mark.parametrize("task", TASKS)
def test_task_shots__give_every_class_enough_for_a_test_split(task: str) -> None:
    shots = task_shots(task, 7, "demo")
    counts = Counter(shot.label for shot in shots)
    assert min(counts.values()) >= 25
    assert counts == TASKS[task].counts
    assert len({shot.name for shot in shots}) == len(shots)
    groups = {shot.patient or shot.lesion for shot in shots}
    assert len(groups) <= 0.75 * len(shots), "groups of several images"
    assert sum(shot.sex == "" for shot in shots) < 0.1 * len(shots)


def test_plan__plants_a_benchmarks_image_in_a_source() -> None:
    for source, task in (("mmt", "ham10000"), ("edu1", "pad_ufes")):
        theirs, ours = plan(dataset(benchmark_dataset(task)), 1, "tiny"), plan(dataset(source), 1, "tiny")
        copy = ours.files[ours.trouble["benchmark_copy"][0]]
        assert copy in theirs.files.values()
        worse = ours.files[ours.trouble["benchmark_recompressed"][0]]
        assert isinstance(worse, Photo)
        assert worse not in theirs.files.values()
        assert worse.picture.subject in {c.picture.subject for c in theirs.files.values() if isinstance(c, Photo)}


def test_plan__isic2024_source_and_benchmark_share_a_patient_and_an_id(tmp_path: Path) -> None:
    rows = {}
    for key in ("isic2024", "benchmarks/isic2024"):
        one = plan(dataset(key), 1, "tiny")
        rows[key] = read(dataset(key), laid(one, tmp_path / key)).rows
    ours, theirs = rows["isic2024"], rows["benchmarks/isic2024"]
    assert len(set(ours["patient_id"]) & set(theirs["patient_id"])) == 1
    assert len(set(ours["image_id"]) & set(theirs["image_id"])) == 1


def test_plan__cohorts_share_patients_with_the_same_facts(tmp_path: Path) -> None:
    rows = {}
    for key in ("mym", "hop", "mym_hop_derm"):
        rows[key] = read(dataset(key), laid(plan(dataset(key), 1, "demo"), tmp_path / key)).rows
    derm = rows["mym_hop_derm"]
    for key in ("mym", "hop"):
        shared = set(derm["patient_id"]) & set(rows[key]["patient_id"])
        assert shared
        for patient in shared:
            sexes = {*derm[derm["patient_id"] == patient]["sex"], *rows[key][rows[key]["patient_id"] == patient]["sex"]}
            assert len(sexes) == 1


def test_layouts__one_for_every_reader_in_the_catalogue() -> None:
    assert set(LAYOUTS) | {"slides"} == {row.reader for row in delivered_datasets()}
    assert len(ISIC_COLUMNS) == len(set(ISIC_COLUMNS)) == 55


def test_plan__hdf5_holds_what_the_folder_holds() -> None:
    row = dataset("benchmarks/isic2024")
    folder, packed = plan(row, 1, "tiny"), plan(row, 1, "tiny", hdf5=True)
    container = packed.files["train-image.hdf5"]
    assert isinstance(container, Packed)
    assert dict(container.photos) == {Path(path).stem: one for path, one in folder.files.items() if isinstance(one, Photo)}
    few = Packed(container.photos[:3])
    assert few.data() == few.data(), "byte for byte"
    assert packed.trouble["bomb"][0] == f"train-image.hdf5#{Path(folder.trouble['bomb'][0]).stem}"


def test_plan__derm7pt_is_one_delivery_for_both_tasks_but_for_the_trouble() -> None:
    first, second = (plan(dataset(f"benchmarks/derm7pt_{half}"), 1, "tiny").files for half in "dc")
    shared = [path for path, one in first.items() if isinstance(one, Photo) and path in second]
    assert len(shared) > 0.7 * sum(isinstance(one, Photo) for one in first.values())
    assert all(first[path] == second[path] for path in shared if "unlisted" not in path)
