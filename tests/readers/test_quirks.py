"""What spreadsheets, archives and operating systems do to a delivery on its way, read alike in the public layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from panderm.catalog import dataset
from panderm.readers import read

DELIVERIES: dict[str, tuple[str, str, dict[str, bytes]]] = {
    "pad_ufes": (
        "metadata.csv",
        "PATIENT_ID,Lesion_ID,Age,gender,fitspatrick,Region,Diagnostic,img_id,More\n"
        "PAT_1,10,-4,FEMALE,2.0,Flügel,BCC,PAT_1_10_1.png,x\nPAT_1,11,55.5,UNKNOWN,,NOSE,nev,PAT_1_11_2.PNG,\n"
        "PAT_1,11,55.5,UNKNOWN,,NOSE,nev,PAT_1_11_2.PNG,\nPAT_2,12,n/a,,,CHEST,ack,PAT_2_12_3,\n",
        {f"imgs_part_1/{name}": name.encode() for name in ("PAT_1_10_1.png", "PAT_1_11_2.png", "PAT_2_12_3.PNG")},
    ),
    "ddi": (
        "ddi_metadata.csv",
        ",DDI_ID,DDI_file,skin_tone,malignant,disease,Ort\n0,1,000001.png,12,True,Melanoma-In-Situ,Köln\n"
        "1,2,000002.PNG,56.0,FALSE,melanocytic-nevi,\n1,2,000002.PNG,56.0,FALSE,melanocytic-nevi,\n2,3,000003,,,acne,\n",
        {"000001.PNG": b"1", "000002.png": b"2", "000003.JPEG": b"3"},
    ),
    "fitzpatrick17k": (
        "fitzpatrick17k.csv",
        "md5hash,Fitzpatrick_scale,fitzpatrick_centaur,Label,qc,url,note\nabc,3,4,Acne Vulgaris,,http://a,é\n"
        "def,-1,-1,vitiligo,1 Diagnostic,,\nabc,3,4,acne vulgaris,,,\nghi,2,2,psoriasis,,,\n",
        {"data/abc.JPG": b"1", "data/def.jpeg": b"2", "data/ghi.JPEG": b"3"},
    ),
    "hiba": (
        "metadata.csv",
        "ISIC_ID,Attribution,age_approx,anatom_site_general,benign_malignant,diagnosis,image_type,sex,Patient_ID\n"
        "ISIC_1,Hôpital,-5,head/neck,malignant,Melanoma,dermoscopic,FEMALE,IP_1\nISIC_2,,85+,unknown,benign,Nevus,,unknown,\n"
        "ISIC_2,,85+,unknown,benign,Nevus,,unknown,\nISIC_3,,45.5,,benign,Nevus,Dermoscopic,m,IP_2\n",
        {"ISIC-images/ISIC_1.JPG": b"1", "ISIC-images/ISIC_2.jpeg": b"2", "ISIC-images/ISIC_3.jpg": b"3"},
    ),
    "derm7pt_c": (
        "meta/meta.csv",
        "Case_num,diagnosis,seven_point_score,streaks,location,sex,Clinic,derm,notes\n"
        "1,melanoma (less than 0.76 mm),5,absent,back,female,NEL/NEL025.JPG,,Größe\n"
        "2,Clark Nevus,1,absent,UNKNOWN,M,Fcl/fcl1.jpeg,,\n2,Clark Nevus,1,absent,UNKNOWN,M,Fcl/fcl1.jpeg,,\n"
        "3,Dermal Nevus,1,absent,,f,Fcl/Fcl3.jpg,,\n",
        {f"images/{name}": name.encode() for name in ("NEL/NEL025.jpg", "Fcl/Fcl1.jpg", "Fcl/Fcl3.jpg")}
        | {"meta/train_indexes.csv": b"indexes\n0\n", "meta/test_indexes.csv": b"\xef\xbb\xbfindexes\r\n1\r\n3\r\n"},
    ),
}
"""Task -> table, its text with the usual quirks, and everything else."""

SAVED: dict[str, Callable[[str], bytes]] = {
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "line ends of old Macs": lambda text: text.replace("\n", "\r").encode(),
    "latin-1": lambda text: text.encode("latin-1"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "a spreadsheet": lambda text: (
        text.replace(".5", "§5").replace(",", ";").replace("§", ",").replace("\n", "\r\n").encode("utf-8-sig")
    ),
    "a spreadsheet that says so": lambda text: b"sep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n").encode("cp1252"),
    "unicode text": lambda text: text.replace(",", "\t").encode("utf-16"),
}


@pytest.mark.parametrize("task", DELIVERIES)
def test_reader__makes_the_same_of_every_way_to_save_a_table(landing: Any, task: str) -> None:
    table, text, files = DELIVERIES[task]
    plain = read(dataset(f"benchmarks/{task}"), landing(files | {table: text.encode()}))
    assert len(plain.rows) == 3
    assert plain.rows["age"].dropna().ge(0).all()
    assert set(plain.rows["sex"].dropna()) <= {"female", "male"}
    assert "unknown" not in set(plain.rows["site"].dropna())
    assert list(plain.rejects["reason"]) == ["duplicate_row"] * len(plain.rejects) != []
    for how, save in SAVED.items():
        again = read(dataset(f"benchmarks/{task}"), landing({table: save(text)}))
        assert again.rows.equals(plain.rows), how
        assert list(again.rejects["reason"]) == list(plain.rejects["reason"]), how


@pytest.mark.parametrize("task", DELIVERIES)
def test_reader__leaves_what_a_mac_adds_to_an_archive(landing: Any, task: str) -> None:
    table, text, files = DELIVERIES[task]
    whole = files | {table: text.encode()}
    forks = {f"__MACOSX/{path[: path.rfind('/') + 1]}._{path.rsplit('/', 1)[-1]}": b"\0\5\26\7" for path in whole}
    forks |= {".DS_Store": b"\0\0\0\1Bud1", "images/.DS_Store": b"\0\0\0\1Bud1", "._.DS_Store": b"\0\5\26\7"}
    expected, seen = (read(dataset(f"benchmarks/{task}"), landing(files)) for files in (whole, forks))
    assert seen.rows.equals(expected.rows)
    assert seen.metadata_files == expected.metadata_files
    refused = seen.rejects[seen.rejects["path"].isin(list(forks))]
    assert set(refused["path"]) == set(forks)
    assert set(refused["reason"]) == {"unexpected_file"}


@pytest.mark.parametrize("task", DELIVERIES)
def test_reader__reads_a_delivery_that_came_in_a_folder_of_its_own(landing: Any, task: str) -> None:
    table, text, files = DELIVERIES[task]
    delivery = read(
        dataset(f"benchmarks/{task}"),
        landing({f"Download 2/{path}": data for path, data in (files | {table: text.encode()}).items()}),
    )
    assert len(delivery.rows) == 3


def test_pad_ufes__reads_folders_in_folders(landing: Any) -> None:
    table, text, files = DELIVERIES["pad_ufes"]
    nested = {
        f"images/imgs_part_{n}/imgs_part_{n}/{path.split('/')[1]}": data for n, (path, data) in enumerate(files.items(), 1)
    }
    assert len(read(dataset("benchmarks/pad_ufes"), landing(nested | {table: text.encode()})).rows) == 3


def test_derm7pt__finds_its_folders_in_any_case(landing: Any) -> None:
    _, text, files = DELIVERIES["derm7pt_c"]
    moved = {
        "/".join(part.title() if "." not in part else part for part in path.split("/")): data for path, data in files.items()
    }
    delivery = read(dataset("benchmarks/derm7pt_c"), landing(moved | {"Meta/Meta.csv": text.encode()}))
    assert list(delivery.rows["split"].fillna("?")) == ["test", "test", "train"]
