"""The ISIC archive's exports, in every schema they came in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from panderm.catalog import Benchmark, Dataset, dataset
from panderm.readers import Delivery, read
from panderm.readers.isic_terms import Diagnosis, label_of, of_levels, of_word

BCN = dataset("benchmarks/bcn20000")
MELANOMA = dataset("benchmarks/hiba")


def images(*numbers: int, folder: str = "ISIC-images") -> dict[str, bytes]:
    return {f"{folder}/ISIC_{n}.jpg": b"%d" % n for n in numbers}


def labels(delivery: Delivery) -> dict[str, str]:
    return dict(zip(delivery.rows["image_id"], delivery.rows["label"], strict=True))


def refused(delivery: Delivery) -> dict[str, tuple[str, str]]:
    rejects = delivery.rejects
    names = rejects["path"].str.rsplit("/", n=1).str[-1].str.removesuffix(".jpg")
    return dict(zip(names, zip(rejects["reason"], rejects["detail"], strict=True), strict=True))


def test_newest_schema__reads_the_path_of_a_diagnosis(landing: Any) -> None:
    table = (
        "isic_id,attribution,copyright_license,age_approx,anatom_site_1,anatom_site_special,concomitant_biopsy,diagnosis_1,"
        "diagnosis_2,diagnosis_3,diagnosis_4,diagnosis_confirm_type,fitzpatrick_skin_type,image_type,lesion_id,patient_id,sex\n"
        "ISIC_1,Barcelona,CC-BY,85+,Upper extremity,,True,Malignant,Malignant melanocytic proliferations (Melanoma),"
        "Melanoma Invasive,,histopathology,II,dermoscopic,IL_1,IP_1,female\n"
        "ISIC_2,Barcelona,CC-BY,NaN,,,,Benign,Benign melanocytic proliferations,Nevus,"
        '"Nevus, NOS, Dermal",,,dermoscopic,IL_2,IP_1,unknown\n'
        "ISIC_3,,,,,,,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,,,,dermoscopic,,,\n"
        "ISIC_4,,,,,,,Benign,Benign epidermal proliferations,Seborrheic keratosis,,,,dermoscopic,,,\n"
        'ISIC_5,,,,,,,Malignant,Malignant epidermal proliferations,"Squamous cell carcinoma, Invasive",,,,dermoscopic,,,\n'
        "ISIC_6,,,,,,,Benign,Benign soft tissue proliferations - Vascular,Cherry hemangioma,,,,dermoscopic,,,\n"
        "ISIC_7,,,,,,,Malignant,Malignant melanocytic proliferations (Melanoma),Melanoma metastasis,,,,dermoscopic,,,\n"
        "ISIC_8,,,,,,,Benign,Benign - Other,Scar,,,,dermoscopic,,,\n"
        "ISIC_9,,,,,,,,,,,,,dermoscopic,,,\n"
        "ISIC_10,,,,,,,Benign,Benign melanocytic proliferations,Nevus,,,,clinical: close-up,,,\n"
        "ISIC_11,,,,,,,,,Martian spot,,,,dermoscopic,,,\n"
    )
    delivery = read(BCN, landing(images(*range(1, 12)) | {"metadata.csv": table}))
    assert labels(delivery) == {
        "ISIC_1": "mel",
        "ISIC_2": "nv",
        "ISIC_3": "ak",
        "ISIC_4": "sk",
        "ISIC_5": "scc",
        "ISIC_6": "vasc",
    }
    first = delivery.rows.set_index("image_id").loc["ISIC_1"]
    assert (first["patient_id"], first["lesion_id"], first["age"], first["sex"]) == ("isic:IP_1", "isic:IL_1", 85.0, "female")
    assert (first["site"], first["skin_type"], first["institution"]) == ("upper extremity", "II", "Barcelona")
    known = json.loads(first["attributes"])
    assert known == {
        "concomitant_biopsy": 1,
        "copyright_license": "CC-BY",
        "diagnosis_confirm_type": "histopathology",
        "image_type": "dermoscopic",
    }
    reasons = refused(delivery)
    assert reasons["ISIC_7"] == (
        "out_of_scope",
        "metadata.csv#8: the diagnosis is 'Melanoma metastasis', none of the task's classes",
    )
    assert reasons["ISIC_8"][0] == "out_of_scope"
    assert reasons["ISIC_9"] == ("out_of_scope", "metadata.csv#10: it has no diagnosis")
    assert reasons["ISIC_10"] == ("out_of_scope", "metadata.csv#11: it is a clinical image, which the task does not take")
    assert reasons["ISIC_11"][0] == "unknown_label"


def test_middle_schema__contradictions_are_refused_by_both_names(landing: Any) -> None:
    table = (
        "isic_id,benign_malignant,diagnosis,image_type,age_approx\n"
        "ISIC_1,malignant,melanoma,dermoscopic,40\n"
        "ISIC_2,Benign,Melanoma,dermoscopic,40\n"
        "ISIC_3,malignant,nevus,dermoscopic,40\n"
        "ISIC_4,indeterminate/benign,nevus,clinical,40\n"
        "ISIC_5,benign,,dermoscopic,40\n"
        "ISIC_6,malignant,,dermoscopic,40\n"
        "ISIC_7,malignant,melanoma metastasis,overview,\n"
        "ISIC_8,malignant,melanoma,TBP tile: close-up,\n"
    )
    delivery = read(MELANOMA, landing(images(*range(1, 9)) | {"metadata.csv": table}))
    assert labels(delivery) == {"ISIC_1": "melanoma", "ISIC_4": "other", "ISIC_5": "other", "ISIC_7": "melanoma"}
    assert dict(zip(delivery.rows["image_id"], delivery.rows["modality"], strict=True))["ISIC_4"] == "clinical"
    reasons = refused(delivery)
    assert reasons["ISIC_2"] == (
        "contradiction",
        "metadata.csv#3: diagnosis says 'Melanoma', benign_malignant says 'Benign'; correct the table",
    )
    assert reasons["ISIC_3"] == (
        "contradiction",
        "metadata.csv#4: diagnosis says 'nevus', benign_malignant says 'malignant'; correct the table",
    )
    assert reasons["ISIC_6"][0] == "out_of_scope", "malignant, but perhaps no melanoma"
    assert reasons["ISIC_8"] == ("out_of_scope", "metadata.csv#9: it is a tbp image, which the task does not take")


def test_old_schema_2019__joins_ground_truth_and_metadata(landing: Any) -> None:
    files = {
        "ISIC_2019_Training_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
        "ISIC_1,0.0,1.0,0,0,0,0,0,0,0\nISIC_2_downsampled,1.0,0,0,0,0,0,0,0,0\nISIC_3,1.0,1.0,0,0,0,0,0,0,0\n"
        "ISIC_4,0,0,0,0,0,0,0,0,1.0\nISIC_5,0,0,0,0,1.0,0,0,0,0\n",
        "ISIC_2019_Training_Metadata.csv": "image,age_approx,anatom_site_general,lesion_id,sex\n"
        "ISIC_2_downsampled,55.0,anterior torso,BCN_0000001,Female\nISIC_1,,,,\n",
        "ISIC_2019_Test_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\nISIC_6,0,0,0,1,0,0,0,0,0\n",
    }
    pictures = images(1, 3, 4, 5, folder="ISIC_2019_Training_Input") | images(6, 7, folder="ISIC_2019_Test_Input")
    pictures |= {"ISIC_2019_Training_Input/ISIC_2_downsampled.jpg": b"2", "ISIC_2019_Training_Input/LICENSE.txt": b"CC"}
    delivery = read(BCN, landing(files | pictures))
    assert labels(delivery) == {"ISIC_1": "nv", "ISIC_2_downsampled": "mel", "ISIC_6": "ak"}
    second = delivery.rows.set_index("image_id").loc["ISIC_2_downsampled"]
    assert (second["age"], second["sex"], second["lesion_id"]) == (55.0, "female", "isic:BCN_0000001")
    reasons = refused(delivery)
    assert reasons["ISIC_3"] == (
        "contradiction",
        "ISIC_2019_Training_GroundTruth.csv#4: MEL says '1.0', NV says '1.0'; correct the table",
    )
    assert reasons["ISIC_4"] == ("out_of_scope", "ISIC_2019_Training_GroundTruth.csv#5: it has no diagnosis")
    assert reasons["ISIC_5"][0] == "out_of_scope", "benign keratosis may be seborrheic or a lentigo"
    assert reasons["ISIC_7"][0] == "no_metadata"
    assert "ISIC_2019_Training_GroundTruth.csv" in reasons["ISIC_7"][1]
    assert len(delivery.metadata_files) == 4


def test_docs__a_challenge_as_a_29th_task_is_the_row_that_they_show(landing: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "deliveries.md").read_text()
    (shown,) = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    row = Benchmark.parse(shown, "docs/deliveries.md")
    assert row.runnable
    task = Dataset(f"benchmarks/{row.key}", row.reader, ("dermoscopic",), row.patient_namespace, row.classes, row.kind)
    header = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
    files = {
        "ISIC_2019_Training_GroundTruth.csv": f"{header}ISIC_1,0,0,0,0,1.0,0,0,0,0\nISIC_2,0,0,0,0,0,0,0,1.0,0\n",
        "ISIC_2019_Test_GroundTruth.csv": f"{header}ISIC_3,1.0,0,0,0,0,0,0,0,0\n",
    }
    folders = images(1, 2, folder="ISIC_2019_Training_Input") | images(3, folder="ISIC_2019_Test_Input")
    delivery = read(task, landing(files | folders))
    assert labels(delivery) == {"ISIC_1": "bkl", "ISIC_2": "scc", "ISIC_3": "mel"}
    assert delivery.rows.set_index("image_id")["split"].to_dict() == {"ISIC_1": "train", "ISIC_2": "train", "ISIC_3": "test"}


def test_old_schema_2018_and_2020__are_read(landing: Any) -> None:
    eighteen = {
        "ISIC2018_Task3_Training_GroundTruth.csv": "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_1,0.0,0.0,0.0,1.0,0.0,0.0,0.0\n",
        "ISIC2018_Task3_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type\nISIC_1,HAM_9,histopathology\n",
    }
    seven = Dataset("x", "isic_archive", ("dermoscopic",), "isic", dataset("benchmarks/ham10000").classes)
    delivery = read(seven, landing(images(1) | eighteen))
    assert labels(delivery) == {"ISIC_1": "akiec"}
    assert list(delivery.rows["lesion_id"]) == ["isic:HAM_9"]


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ("ISIC_1,IP_1,male,45.0,head/neck,melanoma,malignant,1", "malignant"),
        ("ISIC_1,IP_1,male,,,unknown,benign,0", "benign"),
        ("ISIC_1,IP_1,male,45.0,torso,unknown,benign,1", "contradiction"),
        ("ISIC_1,IP_1,male,45.0,torso,nevus,benign,1", "contradiction"),
    ],
)
def test_old_schema_2020__benign_or_malignant(landing: Any, row: str, outcome: str) -> None:
    header = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
    two = Dataset("x", "isic_archive", ("dermoscopic",), "isic", ("benign", "malignant"))
    delivery = read(two, landing(images(1, folder="train") | {"train.csv": header + row + "\n"}))
    assert [*delivery.rows["label"], *delivery.rejects["reason"]] == [outcome]


def test_read__a_source_takes_every_diagnosis(landing: Any) -> None:
    source = Dataset("x", "isic_archive", ("dermoscopic", "clinical"), "isic", ())
    table = "isic_id,diagnosis,benign_malignant\nISIC_1,scar,benign\nISIC_2,melanoma,benign\nISIC_3,,\n"
    delivery = read(source, landing(images(1, 2, 3) | {"metadata.csv": table, "licenses/CC-0.txt": "x"}))
    assert len(delivery.rows) == 3
    assert delivery.metadata_files == ("licenses/CC-0.txt", "metadata.csv")


def test_read__masks_and_superpixels_are_no_pictures(landing: Any) -> None:
    extra = {"ISIC-images/ISIC_1_superpixels.png": b"s", "masks/ISIC_1_segmentation.png": b"m"}
    delivery = read(MELANOMA, landing(images(1) | extra | {"metadata.csv": "isic_id,diagnosis\nISIC_1,nevus\n"}))
    assert labels(delivery) == {"ISIC_1": "other"}
    assert set(extra) < set(delivery.metadata_files)


def test_of_levels__the_finest_known_word_counts() -> None:
    assert of_levels(("Benign", "Benign melanocytic proliferations", "Nevus", "Nevus, Atypical", "")).classes == ("nv",)
    assert of_levels(("Benign", "Benign melanocytic proliferations", "Lentigo simplex", "", "")) == Diagnosis((), True)
    assert of_levels(("Benign", "Benign melanocytic proliferations", "", "", "")).classes == ("nv",)
    assert of_levels(("", "", "Martian spot", "", "")) == Diagnosis((), False)


def test_label_of__takes_the_narrowest_class_of_the_task() -> None:
    bowen = of_word("squamous cell carcinoma in situ")
    assert label_of(bowen, None, ("akiec", "bcc")) == "akiec"
    assert label_of(bowen, None, ("ak", "scc")) == "scc"
    assert label_of(of_word("seborrheic keratosis"), None, ("bkl", "nv")) == "bkl"
    assert label_of(Diagnosis((), False), "malignant", ("other", "melanoma")) is None


SEQUENCES = dataset("benchmarks/sddi1")
HEADER = "isic_id,lesion_id,patient_id,acquisition_day,diagnosis_1,diagnosis_3,diagnosis_confirm_type"


def ordered(delivery: Delivery) -> dict[str, tuple[str, str]]:
    rows: pd.DataFrame = delivery.rows
    return dict(zip(rows["image_id"], zip(rows["visit"], rows["label"], strict=True), strict=True))


def test_sequences__order_by_day_and_tell_change_by_the_confirmation(landing: Any) -> None:
    table = (
        f"{HEADER}\n"
        "ISIC_1,IL_1,IP_1,180,Malignant,Melanoma in situ,histopathology\nISIC_2,IL_1,IP_1,1,Malignant,Melanoma in situ,\n"
        "ISIC_3,IL_1,IP_1,90,,,\nISIC_4,IL_2,IP_1,,Benign,Nevus,Serial imaging showing no change\n"
        "ISIC_5,IL_2,IP_1,90,Benign,Nevus,serial imaging showing no change\n"
        "ISIC_6,IL_3,IP_2,1,Benign,Nevus,histopathology\nISIC_7,,IP_2,1,,,\nISIC_8,IL_4,IP_2,1,,,\nISIC_9,IL_4,IP_2,1,,,\n"
    )
    delivery = read(SEQUENCES, landing(images(*range(1, 10)) | {"metadata.csv": table}))
    assert ordered(delivery) == {
        "ISIC_2": ("1", "changed"),
        "ISIC_3": ("2", "changed"),
        "ISIC_1": ("3", "changed"),
        "ISIC_4": ("1", "unchanged"),
        "ISIC_5": ("2", "unchanged"),
    }
    reasons = refused(delivery)
    assert reasons["ISIC_6"] == ("out_of_scope", "metadata.csv#7: it is the only image of its lesion; a change needs two")
    assert reasons["ISIC_7"][0] == "no_metadata"
    assert reasons["ISIC_8"][0] == reasons["ISIC_9"][0] == "unknown_label"


def test_sequences__a_column_on_change_counts_first(landing: Any) -> None:
    table = (
        f"{HEADER},change\nISIC_1,IL_1,IP_1,1,,,histopathology,Unchanged\nISIC_2,IL_1,IP_1,2,,,histopathology,0\n"
        "ISIC_3,IL_2,IP_1,1,,,serial imaging showing no change,changed\n"
        "ISIC_4,IL_2,IP_1,2,,,serial imaging showing no change,stable\n"
    )
    delivery = read(SEQUENCES, landing(images(1, 2, 3, 4) | {"metadata.csv": table}))
    assert {name: label for name, (_, label) in ordered(delivery).items()} == dict.fromkeys(
        ("ISIC_1", "ISIC_2", "ISIC_4"), "unchanged"
    )
    assert "diagnosis_confirm_type says 'serial imaging showing no change'" in refused(delivery)["ISIC_3"][1]
