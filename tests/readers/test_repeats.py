"""Rows that speak of one image twice: agreeing ones are repeats, others refuse the image with both rows and both values."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from panderm.catalog import Dataset, dataset
from panderm.readers import Delivery, read
from panderm.readers.repeats import differ, disputes

HAM = "lesion_id,image_id,dx,sex\n"
CSV = "image,label,patient_id,lesion_id,visit,split\n"


def refused(delivery: Delivery) -> dict[str, tuple[str, str]]:
    rejects = delivery.rejects
    return {path.rsplit("/", 1)[-1]: pair for path, *pair in zip(*(rejects[name] for name in rejects), strict=True)}  # type: ignore[misc]


def pictures(*names: str, folder: str = "images") -> dict[str, bytes]:
    return {f"{folder}/{name}.jpg": name.encode() for name in names}


def test_disputes__names_the_first_column_that_disagrees_and_no_blank() -> None:
    rows = pd.DataFrame({"label": ["a", None, "a", "b"], "split": ["train", "test", None, None], "note": list("wxyz")})
    key = pd.Series(["1", "1", "2", "2"])
    where = "t.csv#" + pd.Series(["2", "3", "4", "5"])
    assert disputes(rows, key, where, {"label": differ, "split": differ, "visit": differ}).to_dict() == {
        "1": "split is 'train' in t.csv#2, 'test' in t.csv#3; correct the table",
        "2": "label is 'a' in t.csv#4, 'b' in t.csv#5; correct the table",
    }
    assert disputes(rows, key, where, {}).empty


def test_ham10000__two_labels_of_one_image_are_a_contradiction(landing: Any) -> None:
    table = HAM + "HAM_1,ISIC_1,mel,male\nHAM_2,ISIC_2,nv,male\nHAM_1,ISIC_1,nv,male\nHAM_2,ISIC_2.jpg,NV,female\n"
    table += "HAM_3,ISIC_3,nv,male\nHAM_4,ISIC_3,nv,male\n"
    folder = landing({"HAM10000_metadata.csv": table} | pictures("ISIC_1", "ISIC_2", "ISIC_3", folder="HAM10000_images_part_1"))
    delivery = read(dataset("benchmarks/ham10000"), folder)
    assert list(delivery.rows["image_id"]) == ["ISIC_2"]
    name = "HAM10000_metadata.csv"
    assert [pair for path, pair in refused(delivery).items()] == [
        ["contradiction", f"label is 'mel' in {name}#2, 'nv' in {name}#4; correct the table"],
        ["contradiction", f"lesion_id is 'isic:HAM_3' in {name}#6, 'isic:HAM_4' in {name}#7; correct the table"],
        ["duplicate_row", "it names HAM10000_images_part_1/ISIC_2.jpg again; the first row counts"],
    ]
    assert delivery.rejects["path"].iloc[-1] == f"{name}#5"


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ("1.jpg,melanoma,P1,L1,1,train", "label is 'melanocytic' in metadata.csv#2, 'melanoma' in metadata.csv#3"),
        ("1.jpg,melanocytic,P1,L1,1,test", "split is 'train' in metadata.csv#2, 'test' in metadata.csv#3"),
        ("1.jpg,melanocytic,P2,,1,train", "patient_id is 'mmt:P1' in metadata.csv#2, 'mmt:P2' in metadata.csv#3"),
        ("1.jpg,melanocytic,P1,L2,1,train", "lesion_id is 'mmt:P1/L1' in metadata.csv#2, 'mmt:P1/L2' in metadata.csv#3"),
        ("1.jpg,melanocytic,P1,L1,2,train", "visit is '1' in metadata.csv#2, '2' in metadata.csv#3"),
        ("images/1.jpg,melanocytic,P1,L1,1.0,Training", ""),
        ("1.jpg,melanocytic,,,,", ""),
    ],
)
def test_metadata_csv__compares_what_a_task_learns_from(landing: Any, second: str, sentence: str) -> None:
    table = CSV + f"1.jpg,melanocytic,P1,L1,1,train\n{second}\n2.jpg,melanoma,P3,L1,1,test\n"
    delivery = read(dataset("benchmarks/mmt_09"), landing({"metadata.csv": table} | pictures("1", "2")))
    expected = ["contradiction", f"{sentence}; correct the table"] if sentence else "duplicate_row"
    assert (refused(delivery)["1.jpg"] if sentence else delivery.rejects["reason"].item()) == expected
    assert list(delivery.rows["image_id"]) == (["2"] if sentence else ["1", "2"])


def test_ham10000_seg__the_mask_of_a_disputed_image_goes_with_it(landing: Any) -> None:
    masks = {"HAM10000_segmentations_lesion_tschandl/ISIC_1_segmentation.png": b"m"}
    files = {"HAM10000_metadata.csv": HAM + "HAM_1,ISIC_1,nv,\nHAM_2,ISIC_1,nv,\n"} | masks
    delivery = read(dataset("benchmarks/ham10000_seg"), landing(files | pictures("ISIC_1", folder="HAM10000_images_part_1")))
    assert [reason for reason, _ in refused(delivery).values()] == ["contradiction", "bad_mask"]


@pytest.mark.parametrize(("task", "column"), [("combinemel", "rfi_months"), ("tbp_screening", "malignant")])
def test_outcomes__must_agree_too(landing: Any, task: str, column: str) -> None:
    if task == "combinemel":
        table = "image,metastasis,rfi_months,recurrence\n1.jpg,local,12,yes\n1.jpg,local,24,yes\n"
        files = {"metadata.csv": table} | pictures("1")
    else:
        files = {"Q1/2020/lesions.csv": "lesion_id,dermoscopy,pathology\nL1,yes,nevus\nL1,yes,BCC\n"}
        files |= pictures("L1", folder="Q1/2020/tiles")
    delivery = read(dataset(f"benchmarks/{task}"), landing(files))
    assert delivery.rows.empty
    assert delivery.rejects["reason"].item() == "contradiction"
    assert delivery.rejects["detail"].item().startswith(f"{column} is ")


def test_a_source__compares_whose_an_image_is_but_no_label(landing: Any) -> None:
    table = "image,subject,diagnosis\na.jpg,Q1,nevus\na.jpg,Q1,melanoma\nb.jpg,Q1,\nb.jpg,Q2,\n"
    delivery = read(dataset("mym_hop_derm"), landing({"metadata.csv": table} | pictures("a", "b")))
    assert list(delivery.rows["image_id"]) == ["a"]
    assert (
        refused(delivery)["b.jpg"][1]
        == "patient_id is 'qld:Q1' in metadata.csv#4, 'qld:Q2' in metadata.csv#5; correct the table"
    )


OLD = "isic_id,diagnosis,benign_malignant,sex,lesion_id\n"


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ("melanoma,malignant,male,", "nevus,benign,female,", "diagnosis is 'melanoma' in a.csv#2, 'nevus' in b.csv#2"),
        ("melanoma,malignant,,", "melanoma in situ,malignant,,", ""),
        (",malignant,,", ",benign,,", "benign_malignant is 'malignant' in a.csv#2, 'benign' in b.csv#2"),
        ("nevus,,,IL_1", "nevus,,,IL_2", "lesion_id is 'IL_1' in a.csv#2, 'IL_2' in b.csv#2"),
        ("nevus,,,HAM_1", "nevus,,,IL_2", ""),
        ("nevus,,,", ",malignant,,", "a.csv#2: diagnosis says 'nevus', benign_malignant in b.csv#2 says 'malignant'"),
        ("unknown,benign,,", "nevus,,,", ""),
    ],
)
def test_isic_archive__two_tables_must_agree(landing: Any, first: str, second: str, sentence: str) -> None:
    tables = {"a.csv": f"{OLD}ISIC_1,{first}\n", "b.csv": f"{OLD}ISIC_1,{second}\n"}
    delivery = read(dataset("benchmarks/hiba"), landing(tables | pictures("ISIC_1")))
    assert len(delivery.rows) == (not sentence)
    if sentence:
        reason, detail = refused(delivery)["ISIC_1.jpg"]
        assert reason == "contradiction"
        assert detail.endswith(f"{sentence}; correct the table")
        assert detail.startswith("a.csv#2: ")


def test_isic_archive__two_rows_of_one_table_must_agree(landing: Any) -> None:
    table = OLD + "ISIC_1,melanoma,malignant,male,\nISIC_2,nevus,benign,,\nISIC_1,nevus,benign,,\nISIC_2,nevus,benign,male,\n"
    delivery = read(dataset("benchmarks/hiba"), landing({"metadata.csv": table} | pictures("ISIC_1", "ISIC_2")))
    assert list(delivery.rows["image_id"]) == ["ISIC_2"]
    assert [reason for reason, _ in refused(delivery).values()] == ["contradiction", "duplicate_row"]
    assert "metadata.csv#2, 'other' in metadata.csv#4" in refused(delivery)["ISIC_1.jpg"][1]


def test_isic_archive__one_hot_tables_must_agree(landing: Any) -> None:
    tables = {"a.csv": "image,MEL,NV\nISIC_1,1.0,0.0\nISIC_2,0,1\n", "b.csv": "image,MEL,NV\nISIC_1,0.0,1.0\nISIC_2,0.0,1.0\n"}
    delivery = read(dataset("benchmarks/hiba"), landing(tables | pictures("ISIC_1", "ISIC_2")))
    assert list(delivery.rows["image_id"]) == ["ISIC_2"]
    assert "mel is '1.0' in a.csv#2, '0.0' in b.csv#2" in refused(delivery)["ISIC_1.jpg"][1]


def test_isic_archive__a_source_compares_patients_only(landing: Any) -> None:
    source = Dataset("x", "isic_archive", ("dermoscopic",), "isic", ())
    header = "isic_id,diagnosis,patient_id\n"
    tables = {
        "a.csv": header + "ISIC_1,nevus,IP_1\nISIC_2,nevus,IP_1\n",
        "b.csv": header + "ISIC_1,melanoma,IP_1\nISIC_2,,IP_2\n",
    }
    delivery = read(source, landing(tables | pictures("ISIC_1", "ISIC_2")))
    assert list(delivery.rows["image_id"]) == ["ISIC_1"]


def test_isic_sequences__columns_on_change_must_agree(landing: Any) -> None:
    header = "isic_id,lesion_id,change\n"
    tables = {
        "a.csv": header + "ISIC_1,IL_1,changed\nISIC_2,IL_1,1\n",
        "b.csv": header + "ISIC_1,IL_1,unchanged\nISIC_2,IL_1,yes\n",
    }
    delivery = read(dataset("benchmarks/sddi1"), landing(tables | pictures("ISIC_1", "ISIC_2")))
    assert list(delivery.rows["image_id"]) == ["ISIC_2"]
    assert "change is 'changed' in a.csv#2, 'unchanged' in b.csv#2" in refused(delivery)["ISIC_1.jpg"][1]
