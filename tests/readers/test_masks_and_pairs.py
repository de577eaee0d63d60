"""Layouts with masks, and Derm7pt with its two photos a case."""

from __future__ import annotations

import json
from typing import Any

from panderm.catalog import dataset
from panderm.readers import read


def reasons(delivery: Any) -> dict[str, str]:
    return dict(zip(delivery.rejects["path"], delivery.rejects["reason"], strict=True))


def test_isic2018_seg__pairs_masks_within_the_official_split(landing: Any) -> None:
    folders = {
        "Training": ("ISIC_1.jpg", "ISIC_1_segmentation.png"),
        "Validation": ("ISIC_2.jpg", "ISIC_2_Segmentation.PNG"),
        "Test": ("ISIC_3.jpg", "isic_3_segmentation.png"),
    }
    files = {f"ISIC2018_Task1-2_{part}_Input/{image}": b"i" for part, (image, _) in folders.items()}
    files |= {f"all/ISIC2018_Task1_{part}_GroundTruth/{mask}": b"m" for part, (_, mask) in folders.items()}
    files |= {
        "ISIC2018_Task1-2_Test_Input/ISIC_4.jpg": b"no mask",
        "all/ISIC2018_Task1_Test_GroundTruth/ISIC_5_segmentation.png": b"no image",
        "all/ISIC2018_Task1_Test_GroundTruth/again/ISIC_3_segmentation.png": b"not in the folder itself",
        "ISIC2018_Task1-2_Training_Input/ISIC_1_superpixels.png": b"s",
        "ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt": b"t",
    }
    delivery = read(dataset("benchmarks/isic2018_seg"), landing(files))
    rows = delivery.rows.set_index("image_id")
    assert list(rows["role"].value_counts()) == [3, 3]
    assert rows["split"].to_dict() == {
        "ISIC_1": "train",
        "ISIC_1_mask": "train",
        "ISIC_2": "val",
        "ISIC_2_mask": "val",
        "ISIC_3": "test",
        "ISIC_3_mask": "test",
    }
    assert rows.loc["ISIC_3_mask", "mask_of"] == "ISIC_3"
    assert reasons(delivery) == {
        "ISIC2018_Task1-2_Test_Input/ISIC_4.jpg": "out_of_scope",
        "all/ISIC2018_Task1_Test_GroundTruth/ISIC_5_segmentation.png": "bad_mask",
        "all/ISIC2018_Task1_Test_GroundTruth/again/ISIC_3_segmentation.png": "unexpected_file",
    }
    assert len(delivery.metadata_files) == 2


def test_isic2018_seg__reads_the_folders_of_the_public_code(landing: Any) -> None:
    parts = {"Training": ("ISIC_1", "_segmentation"), "Validation": ("ISIC_2", "_segmentation"), "Test": ("ISIC_3", "")}
    files = {f"ISIC2018/{part}_Data/{name}.jpg": b"i" for part, (name, _) in parts.items()}
    files |= {f"ISIC2018/{part}_GroundTruth/{name}{end}.png": b"m" for part, (name, end) in parts.items()}
    delivery = read(dataset("benchmarks/isic2018_seg"), landing(files))
    assert delivery.rejects.empty
    splits = delivery.rows.set_index("image_id")["split"].to_dict()
    assert splits == {
        f"{name}{end}": split
        for name, split in (("ISIC_1", "train"), ("ISIC_2", "val"), ("ISIC_3", "test"))
        for end in ("", "_mask")
    }


def test_ham10000_seg__masks_take_lesion_and_person_from_the_table(landing: Any) -> None:
    folder = "HAM10000_segmentations_lesion_tschandl"
    files = {
        "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization\nHAM_1,ISIC_1,nv,histo,45.0,male,back\n"
        "HAM_2,ISIC_2,mel,histo,,unknown,\nHAM_3,ISIC_9,mel,histo,,,\n",
        "HAM10000_images_part_1/ISIC_1.jpg": b"1",
        "HAM10000_images_part_2/ISIC_2.jpg": b"2",
        "HAM10000_images_part_2/ISIC_3.jpg": b"no row",
        f"{folder}/ISIC_1_segmentation.png": b"m1",
        f"{folder}/ISIC_1_mask.png": b"m1 again",
        f"{folder}/ISIC_3_segmentation.png": b"m3",
    }
    delivery = read(dataset("benchmarks/ham10000_seg"), landing(files))
    mask = delivery.rows.set_index("image_id").loc["ISIC_1_mask"]
    assert (mask["lesion_id"], mask["age"], mask["sex"], mask["mask_of"]) == ("isic:HAM_1", 45.0, "male", "ISIC_1")
    assert reasons(delivery) == {
        "HAM10000_images_part_2/ISIC_2.jpg": "out_of_scope",
        "HAM10000_images_part_2/ISIC_3.jpg": "no_metadata",
        f"{folder}/ISIC_1_segmentation.png": "bad_mask",
        f"{folder}/ISIC_3_segmentation.png": "bad_mask",
        "ISIC_9": "missing_file",
    }


META = "case_num,diagnosis,seven_point_score,pigment_network,blue_whitish_veil,elevation,location,sex,clinic,derm,case_id\n"
DERM7PT: dict[str, str | bytes] = {
    "release_v0/meta/meta.csv": META + "1,melanoma (in situ),5,atypical,present,flat,back,female,NEL/n1.jpg,NEL/d1.jpg,\n"
    "2,Clark Nevus,1,typical,absent,flat,abdomen,male,NEL/N2.JPG,NEL/d2.jpg,\n"
    "3,seborrheic keratosis,0,absent,absent,flat,,unknown,,NEL/d3.jpg,\n4,wart,0,absent,absent,flat,,,NEL/n4.jpg,NEL/d4.jpg,\n",
    "release_v0/meta/train_indexes.csv": "indexes\n0\n3\n",
    "release_v0/meta/valid_indexes.csv": "indexes\n1\n",
    "release_v0/meta/test_indexes.csv": "indexes\n2\n",
    **{f"release_v0/images/NEL/{name}.jpg": name.encode() for name in ("n1", "n2", "n4", "d1", "d2", "d3", "d4")},
}


def test_derm7pt__each_task_takes_its_half_of_the_cases(landing: Any) -> None:
    folder = landing(DERM7PT)
    dermoscopic, clinical = (read(dataset(f"benchmarks/derm7pt_{half}"), folder) for half in "dc")
    rows = dermoscopic.rows.set_index("image_id")
    assert rows["label"].to_dict() == {"d1": "melanoma", "d2": "other", "d3": "other"}
    assert rows["split"].to_dict() == {"d1": "train", "d2": "val", "d3": "test"}
    assert rows.loc["d1", "lesion_id"] == clinical.rows.set_index("image_id").loc["n1", "lesion_id"] == "derm7pt:1"
    known = json.loads(rows.loc["d1", "attributes"])
    assert known == {
        "pigment_network": "atypical",
        "blue_whitish_veil": "present",
        "elevation": "flat",
        "seven_point_score": 5.0,
        "diagnosis": "melanoma (in situ)",
    }
    assert list(clinical.rows["image_id"]) == ["n1", "N2"], "as the table spells it"
    assert set(clinical.rows["modality"]) == {"clinical"}
    assert list(dermoscopic.rejects["reason"]) == ["unknown_label", "out_of_scope", "out_of_scope", "out_of_scope"]
    assert "clinical photo" in dermoscopic.rejects["detail"].iloc[-1]


def test_derm7pt__a_case_in_two_splits_is_refused(landing: Any) -> None:
    twice = {"release_v0/meta/test_indexes.csv": "indexes\n2\n0\n"}
    delivery = read(dataset("benchmarks/derm7pt_d"), landing(DERM7PT | twice))
    refused = delivery.rejects[delivery.rejects["reason"] == "contradiction"]
    assert list(refused["path"]) == ["release_v0/images/NEL/d1.jpg"]
    assert "more than one of the three files of indexes" in refused["detail"].iloc[0]
    assert list(delivery.rows["image_id"]) == ["d2", "d3"]
