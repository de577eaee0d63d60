"""Deliveries of a handful of files in every native layout; readers open no image, so a few bytes stand for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Writer = Callable[[dict[str, str | bytes]], Path]

MEASURED = "lesion_id,A,majorAxisMM,location_simple,out_of_bounds_fraction\n"
LAYOUTS: dict[str, dict[str, str | bytes]] = {
    "mym": {
        "subjects.csv": "subject,age,sex\nQ1,51,F\nQ2,,unknown\n",
        "Q1/2020/lesions.csv": MEASURED + "L1,1,2,Torso Back,0.1\nL2,1,2,,0.1\nL9,1,2,,0.1\n",
        "Q1/2020/tiles/L1.png": b"1",
        "Q1/2020/tiles/L2.jpg": b"2",
        "Q2/2020/lesions.csv": MEASURED + "L1,1,2,Left Arm,0.1\n",
        "Q2/2020/tiles/L1.png": b"3",
        "Q2/2020/tiles/L7.png": b"no row",
    },
    "mym_hop_derm": {
        "metadata.csv": "image,subject,lesion,age,sex,site\na.jpg,Q1,L1,51,Female,Back\nb.jpg,Q1,L2,NaN,,\ngone.jpg,Q1,L3,,,\n",
        "images/a.jpg": b"1",
        "images/b.jpg": b"2",
        "images/unnamed.jpg": b"3",
    },
    "mmt": {
        "consultations.csv": "case_id,patient_id,lesion_id,dermoscopic_image,clinical_image,age,sex,site,diagnosis\n"
        "C1,P1,1,d1.jpg,c1.jpg,40,M,Arm,Naevus\nC2,P1,2,d2.jpg,,40,M,Arm,\nC3,P2,1,,,33,F,Leg,\nC4,P2,1,,lost.jpg,33,F,Leg,\n",
        "images/d1.jpg": b"1",
        "images/c1.jpg": b"2",
        "images/d2.jpg": b"3",
        "images/d3.jpg": b"no row",
    },
    "nssi": {
        "visits.csv": "person,lesion,visit,file,date,site\n"
        "7,1,1,v1_l1.jpg,2010-03-01,Back\n7,1,2,v2_l1.jpg,2010-09-01,Back\n8,1,1,x.jpg,,\n",
        "images/7/v1_l1.jpg": b"1",
        "images/7/v2_l1.jpg": b"2",
        "images/8/v1_l1.jpg": b"3",
    },
    "edu1": {
        "Psoriasis vulgaris/01.jpg": b"1",
        "Psoriasis vulgaris/02.png": b"2",
        "Tumours/Naevus/01.jpg": b"3",
        "loose.jpg": b"4",
        "Psoriasis vulgaris/Thumbs.db": b"5",
    },
    "uah89k": {
        "tiles.csv": "image,donor_id,tissue\n1.jpeg,D1,dermis\n2.jpeg,D1,fat\n3.jpeg,D2,fat\n",
        "tiles/1.jpeg": b"1",
        "tiles/2.jpeg": b"2",
        "slides/whole.svs": b"3",
    },
    "isic2024": {
        "train-metadata.csv": "isic_id,target,patient_id,age_approx,sex,anatom_site_general,lesion_id,attribution\n"
        "ISIC_1,0,IP_1,60.0,male,posterior torso,,Hospital Basel\nISIC_2,1,IP_2,55.0,female,,IL_9,The Alfred Hospital\n"
        "ISIC_3,1,IP_1,60.0,male,head/neck,,\nISIC_4,0,IP_5,,,,,FNQH Cairns\nISIC_5,0,IP_5,,,,,ACEMID MIA\n",
        **{f"train-image/image/ISIC_{n}.jpg": b"%d" % n for n in range(1, 6)},
        "train-image/image/ISIC_9.jpg": b"no row",
    },
    "benchmarks/ham10000": {
        "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_01,NV,histo,45.0,male,lower extremity\nHAM_1,ISIC_02,nv,histo,45.0,male,lower extremity\n"
        "HAM_2,ISIC_03,wart,histo,30,unknown,unknown\nHAM_3,ISIC_04,,histo,30,,\nHAM_4,ISIC_05,mel,histo,30,,\n",
        "HAM10000_images_part_1/ISIC_01.jpg": b"1",
        "HAM10000_images_part_2/isic_02.JPG": b"2",
        "HAM10000_images_part_2/ISIC_03.jpg": b"3",
        "HAM10000_images_part_2/ISIC_04.jpg": b"4",
        "HAM10000_segmentations_lesion_tschandl/ISIC_01_segmentation.png": b"mask",
    },
    "benchmarks/pad_ufes": {
        "metadata.csv": "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,img_id\n"
        "PAT_1,10,61,FEMALE,2.0,ARM,BCC,PAT_1_10_1.png\nPAT_1,11,61,FEMALE,2.0,NOSE,nev,PAT_1_11_2.png\n"
        "PAT_2,12,n/a,,,CHEST,ACK,PAT_2_12_3.png\n",
        "imgs_part_1/PAT_1_10_1.png": b"1",
        "imgs_part_2/imgs_part_2/PAT_1_11_2.png": b"2",
        "imgs_part_3/PAT_2_12_3.png": b"3",
    },
}
LAYOUTS["hop"] = LAYOUTS["mym"]
LAYOUTS["edu2"] = LAYOUTS["edu1"]
LAYOUTS["acemid_path"] = LAYOUTS["tcga_skcm"] = LAYOUTS["uah89k"]
LAYOUTS["benchmarks/isic2024"] = LAYOUTS["isic2024"]


@pytest.fixture
def landing(tmp_path: Path) -> Writer:
    """Return a function that writes files into a fresh landing folder and returns the folder."""

    def write(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / "landing" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / "landing"

    return write


@pytest.fixture
def layouts() -> dict[str, dict[str, str | bytes]]:
    """Return dataset key -> files of a small delivery with quirks."""
    return {key: dict(files) for key, files in LAYOUTS.items()}
