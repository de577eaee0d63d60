"""HAM10000 as Dataverse, the ISIC archive and the challenge of 2018 ship it."""

from __future__ import annotations

from typing import Any

import pytest

from panderm.catalog import dataset
from panderm.readers import Delivery, read

HAM = dataset("benchmarks/ham10000")
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
ROWS = '"HAM_1","ISIC_1","bkl","histo",80.0,"male","scalp","vidir_modern"\n"HAM_2","ISIC_2","nv","follow_up",,"unknown","",\n'
ONE_HOT = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"


def pictures(folder: str, *numbers: int) -> dict[str, bytes]:
    return {f"{folder}/ISIC_{n}.jpg": b"%d" % n for n in numbers}


def refused(delivery: Delivery) -> dict[str, tuple[str, str]]:
    rejects = delivery.rejects
    return dict(zip(rejects["path"], zip(rejects["reason"], rejects["detail"], strict=True), strict=True))


@pytest.mark.parametrize(
    "name", ["HAM10000_metadata.csv", "HAM10000_metadata.tab", "ham10000_metadata", "dataverse_files/HAM10000_metadata.tab"]
)
@pytest.mark.parametrize("root", ["", "dataverse_files/"])
def test_dataverse__under_any_of_its_names_and_in_any_folder(landing: Any, name: str, root: str) -> None:
    table = HEADER + ROWS
    files: dict[str, Any] = {name: table.replace(",", "\t") if not name.endswith("csv") else table}
    files |= pictures(f"{root}HAM10000_images_part_1/HAM10000_images_part_1", 1) | pictures(f"{root}HAM10000_images_part_2", 2)
    files |= {f"{root}HAM10000_segmentations_lesion_tschandl/ISIC_1_segmentation.png": b"m"}
    files |= {"__MACOSX/HAM10000_images_part_2/._ISIC_2.jpg": b"x", f"__MACOSX/{name}": b"\0\5\26\7"}
    delivery = read(HAM, landing(files))
    assert list(delivery.rows["label"]) == ["bkl", "nv"]
    assert list(delivery.rows["lesion_id"]) == ["isic:HAM_1", "isic:HAM_2"]
    assert {reason for reason, _ in refused(delivery).values()} == {"unexpected_file"}
    pairs = read(dataset("benchmarks/ham10000_seg"), landing({}))
    assert list(pairs.rows["image_id"]) == ["ISIC_1", "ISIC_1_mask"]


def test_dataverse__the_challenges_test_set_beside_is_out_of_scope(landing: Any) -> None:
    files = {"HAM10000_metadata.csv": HEADER + ROWS, "ISIC2018_Task3_Test_GroundTruth.tab": "image_id\tdx\nISIC_7\tnv\n"}
    files |= pictures("HAM10000_images_part_1", 1, 2) | pictures("ISIC2018_Task3_Test_Images", 7)
    delivery = read(HAM, landing(files))
    assert len(delivery.rows) == 2
    assert refused(delivery)["ISIC2018_Task3_Test_Images/ISIC_7.jpg"][0] == "out_of_scope"
    assert delivery.metadata_files == ("HAM10000_metadata.csv", "ISIC2018_Task3_Test_GroundTruth.tab")


def test_archive__the_newest_export_is_read_by_its_words(landing: Any) -> None:
    table = (
        "isic_id,attribution,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,image_type,lesion_id,sex\n"
        "ISIC_1,ViDIR,80,head/neck,Benign,Benign epidermal proliferations,Pigmented benign keratosis,dermoscopic,IL_1,male\n"
        "ISIC_2,ViDIR,,,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,dermoscopic,IL_2,\n"
        "ISIC_3,ViDIR,,,Malignant,Malignant epidermal proliferations,Squamous cell carcinoma in situ,dermoscopic,IL_3,\n"
        "ISIC_4,ViDIR,,,Benign,Benign - Other,Scar,dermoscopic,IL_4,\n"
    )
    files = {"metadata.csv": table, "attribution.txt": "ViDIR", "licenses/CC-BY-NC.txt": "CC"} | pictures(
        "ISIC-images", 1, 2, 3, 4
    )
    delivery = read(HAM, landing(files))
    assert list(delivery.rows["label"]) == ["bkl", "akiec", "akiec"]
    assert list(delivery.rows["lesion_id"]) == ["isic:IL_1", "isic:IL_2", "isic:IL_3"]
    assert {path: reason for path, (reason, _) in refused(delivery).items()} == {"ISIC-images/ISIC_4.jpg": "out_of_scope"}


def task3(part: str, *rows: str) -> dict[str, str]:
    return {
        f"ISIC2018_Task3_{part}_GroundTruth/ISIC2018_Task3_{part}_GroundTruth.csv": ONE_HOT + "".join(f"{r}\n" for r in rows)
    }


def test_challenge_2018__task_3_is_read_and_its_other_parts_are_not_ham10000(landing: Any) -> None:
    files: dict[str, Any] = task3("Training", "ISIC_1,0,1.0,0,0,0,0,0", "ISIC_2,0,0,0,0,0,0,1.0", "ISIC_3,1.0,1.0,0,0,0,0,0")
    files |= task3("Validation", "ISIC_5,0,1,0,0,0,0,0") | task3("Test", "ISIC_6,1,0,0,0,0,0,0")
    files |= {
        "ISIC2018_Task3_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type\nISIC_1,HAM_9,histopathology\n"
    }
    for part, numbers in (("Training", (1, 2, 3)), ("Validation", (5,)), ("Test", (6,))):
        files |= pictures(f"ISIC2018_Task3_{part}_Input", *numbers)
    files |= {
        "ISIC2018_Task3_Training_Input/LICENSE.txt": "CC-BY-NC",
        "ISIC2018_Task3_Training_Input/ATTRIBUTION.txt": "HAM10000",
    }
    delivery = read(HAM, landing(files))
    assert list(delivery.rows["label"]) == ["nv", "vasc"]
    assert list(delivery.rows["split"]) == ["train", "train"]
    assert list(delivery.rows["lesion_id"].fillna("?")) == ["isic:HAM_9", "?"]
    said = refused(delivery)
    assert said["ISIC2018_Task3_Training_Input/ISIC_3.jpg"][0] == "contradiction"
    for path in ("ISIC2018_Task3_Validation_Input/ISIC_5.jpg", "ISIC2018_Task3_Test_Input/ISIC_6.jpg"):
        assert said[path][0] == "out_of_scope"
        assert "HAM10000 are the 10,015 images of its training part" in said[path][1]
    assert len(said) == 3
    assert len(delivery.metadata_files) == 6


def test_challenge_2018__a_further_task_takes_all_parts_as_its_split(landing: Any) -> None:
    files: dict[str, Any] = task3("Training", "ISIC_1,0,1.0,0,0,0,0,0") | task3("Validation", "ISIC_2,0,1,0,0,0,0,0")
    files |= task3("Test", "ISIC_3,1,0,0,0,0,0,0")
    for part, number in (("Training", 1), ("Validation", 2), ("Test", 3)):
        files |= pictures(f"ISIC2018_Task3_{part}_Input", number)
    rows = read(HAM._replace(key="benchmarks/isic2018", reader="isic_archive"), landing(files)).rows
    assert list(rows["split"]) == ["test", "train", "val"]
    assert rows.set_index("image_id")["label"].to_dict() == {"ISIC_1": "nv", "ISIC_2": "nv", "ISIC_3": "mel"}


def test_nothing_but_pictures__asks_for_the_table(landing: Any) -> None:
    said = refused(read(HAM, landing(pictures("HAM10000_images_part_1", 1))))
    assert said["HAM10000_images_part_1/ISIC_1.jpg"] == ("no_metadata", "HAM10000_metadata.csv was not delivered")
