"""What each reader takes from its layout."""

from __future__ import annotations

from typing import Any

import pandas as pd

from panderm.catalog import dataset
from panderm.readers import read
from panderm.readers.vectra import MEASUREMENTS


def row(rows: pd.DataFrame, image_id: str) -> dict[str, Any]:
    """Return one image's known facts."""
    found = rows[rows["image_id"] == image_id].iloc[0]
    return {name: value for name, value in found.items() if not pd.isna(value) and (name, value) != ("role", "image")}


def reasons(rejects: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rejects["path"], rejects["reason"], strict=True))


def test_vectra__joins_subjects_and_visits(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("hop"), landing(layouts["hop"]))
    assert row(delivery.rows, "Q1_2020_L1") == {
        "path": "Q1/2020/tiles/L1.png",
        "image_id": "Q1_2020_L1",
        "modality": "tbp",
        "patient_id": "qld:Q1",
        "lesion_id": "qld:Q1/L1",
        "visit": "2020",
        "age": 51.0,
        "sex": "female",
        "site": "torso back",
    }
    assert "sex" not in row(delivery.rows, "Q2_2020_L1")
    assert reasons(delivery.rejects) == {"Q1/2020/tiles/L9": "missing_file", "Q2/2020/tiles/L7.png": "no_metadata"}
    assert len(MEASUREMENTS) == 32


def test_cohort_csv__shares_patients_and_lesions_with_the_cohort(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("mym_hop_derm"), landing(layouts["mym_hop_derm"]))
    assert row(delivery.rows, "a")["patient_id"] == "qld:Q1"
    assert row(delivery.rows, "a")["lesion_id"] == "qld:Q1/L1"
    assert "age" not in row(delivery.rows, "b")
    assert reasons(delivery.rejects) == {"gone.jpg": "missing_file", "images/unnamed.jpg": "no_metadata"}


def test_paired_csv__makes_two_rows_a_case(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("mmt"), landing(layouts["mmt"]))
    assert dict(zip(delivery.rows["image_id"], delivery.rows["modality"], strict=True)) == {
        "c1": "clinical",
        "d1": "dermoscopic",
        "d2": "dermoscopic",
    }
    assert row(delivery.rows, "c1")["lesion_id"] == row(delivery.rows, "d1")["lesion_id"] == "mmt:P1/1"
    assert reasons(delivery.rejects) == {
        "consultations.csv#4": "missing_file",
        "images/d3.jpg": "no_metadata",
        "lost.jpg": "missing_file",
    }


def test_visits_csv__keeps_lesions_over_visits_and_drops_dates(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("nssi"), landing(layouts["nssi"]))
    first, second = row(delivery.rows, "7_v1_l1"), row(delivery.rows, "7_v2_l1")
    assert first["lesion_id"] == second["lesion_id"] == "nssi:7/1"
    assert (first["visit"], second["visit"]) == ("1", "2")
    assert not delivery.rows.astype(str).apply(lambda column: column.str.contains("2010")).any(axis=None)


def test_class_folders__labels_by_the_nearest_folder(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("edu1"), landing(layouts["edu1"]))
    assert sorted(delivery.rows["label"]) == ["Naevus", "Psoriasis vulgaris", "Psoriasis vulgaris"]
    assert reasons(delivery.rejects) == {"Psoriasis vulgaris/Thumbs.db": "unexpected_file", "loose.jpg": "no_metadata"}


def test_class_folders__id_of_an_image_does_not_depend_on_the_others(landing: Any, layouts: Any) -> None:
    before = read(dataset("edu1"), landing(layouts["edu1"])).rows.set_index("path")["image_id"]
    after = read(dataset("edu1"), landing({"Acne/01.jpg": b"9"})).rows.set_index("path")["image_id"]
    assert after[before.index].equals(before)


def test_tiles_csv__refuses_a_slide_of_nobody(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("uah89k"), landing(layouts["uah89k"]))
    assert list(delivery.rows["patient_id"]) == ["uah:D1", "uah:D1"]
    assert reasons(delivery.rejects)["slides/whole.svs"] == "no_metadata"


def test_isic2024__source_refuses_the_held_out_institutions(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("isic2024"), landing(layouts["isic2024"]))
    assert list(delivery.rows["image_id"]) == ["ISIC_1", "ISIC_3"]
    assert sorted(delivery.rejects["reason"]) == ["held_out"] * 3 + ["no_metadata"]


def test_isic2024__benchmark_takes_only_the_held_out_institutions(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/isic2024"), landing(layouts["isic2024"]))
    assert dict(zip(delivery.rows["image_id"], delivery.rows["label"], strict=True)) == {
        "ISIC_2": "malignant",
        "ISIC_4": "benign",
        "ISIC_5": "benign",
    }
    assert sorted(delivery.rejects["reason"]) == ["no_metadata", "out_of_scope", "out_of_scope"]
    assert row(delivery.rows, "ISIC_2")["lesion_id"] == "isic:IL_9"


def test_isic2024__takes_every_row_of_a_subset_without_institutions(landing: Any) -> None:
    files = {"train-metadata.csv": "isic_id,target\nISIC_1,0\nISIC_2,1\n"}
    folder = landing(files | {f"train-image/image/ISIC_{n}.jpg": b"1" for n in (1, 2)})
    for key in ("isic2024", "benchmarks/isic2024"):
        assert list(read(dataset(key), folder).rows["label"]) == ["benign", "malignant"]


def test_ham10000__takes_what_the_archive_ships(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/ham10000"), landing(layouts["benchmarks/ham10000"]))
    assert list(delivery.rows["label"]) == ["nv", "nv"]
    assert list(delivery.rows["lesion_id"]) == ["isic:HAM_1", "isic:HAM_1"]
    assert delivery.rows["patient_id"].isna().all()
    assert delivery.metadata_files == (
        "HAM10000_metadata.csv",
        "HAM10000_segmentations_lesion_tschandl/ISIC_01_segmentation.png",
    )
    labels = delivery.rejects[delivery.rejects["reason"] == "unknown_label"].set_index("path")["detail"]
    assert "the label is 'wart'; allowed: akiec, bcc" in labels["HAM10000_images_part_2/ISIC_03.jpg"]
    assert "it has no label" in labels["HAM10000_images_part_2/ISIC_04.jpg"]
    assert reasons(delivery.rejects)["ISIC_05"] == "missing_file"


def test_pad_ufes__reads_skin_types_and_any_part_folder(landing: Any, layouts: Any) -> None:
    rows = read(dataset("benchmarks/pad_ufes"), landing(layouts["benchmarks/pad_ufes"])).rows
    assert list(rows["label"]) == ["BCC", "NEV", "ACK"]
    assert row(rows, "PAT_1_10_1")["skin_type"] == "II"
    assert row(rows, "PAT_1_11_2")["site"] == "nose"
    assert {"age", "sex", "skin_type"}.isdisjoint(row(rows, "PAT_2_12_3"))
