"""Deliveries of a handful of files in every native layout; readers open no image, so a few bytes stand for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from panderm.twins.slides import aperio

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
TISSUES = ("nontumor_skin_dermis_dermis", "tumor_skin_naevus_naevus")
BARS = "|| Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network || Colors ||\n"
LAYOUTS |= {
    "benchmarks/ddi": {
        "ddi_metadata.csv": ",DDI_ID,DDI_file,skin_tone,malignant,disease\n0,1,000001.png,12,True,melanoma-in-situ\n"
        "1,2,000002.png,56,False,Melanocytic-Nevi\n2,3,000003.png,34,False,melanoma\n3,4,000004.png,34,True,\n",
        **{f"00000{n}.png": b"%d" % n for n in range(1, 5)},
    },
    "benchmarks/ph2": {
        "PH2_dataset.txt": BARS + "|| IMD003 ||          ||  0 || 0 |  T ||    4 ||\n"
        "|| IMD063 || Melanoma ||  2 || 2 | AT || 3  4 ||\n"
        "|| IMD009 ||          ||  7 || 0 |  T ||    4 ||\n\nLegends:\n  Name - Image filename (*.bmp)\n",
        "PH2_dataset.xlsx": b"PK",
        **{f"PH2 Dataset images/{n}/{n}_Dermoscopic_Image/{n}.bmp": b"1" for n in ("IMD003", "IMD009", "IMD063")},
        "PH2 Dataset images/IMD063/IMD063_lesion/IMD063_lesion.bmp": b"mask",
    },
    "benchmarks/med_node": {
        "complete_mednode_dataset/melanoma/1.jpg": b"1",
        "complete_mednode_dataset/naevus/2.jpg": b"2",
        "wart/3.jpg": b"3",
    },
    "benchmarks/dermnet": {
        "train/Urticaria Hives/1.jpg": b"1",
        "test/urticaria hives/1.jpg": b"2",
        "Systemic Disease/3.jpg": b"3",
    },
    "benchmarks/fitzpatrick17k": {
        "fitzpatrick17k.csv": "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,three_partition_label,qc,url\n"
        "abc,3,4,Acne,benign,,https://example.org/a.jpg\ndef,-1,1,vitiligo,,1 Diagnostic,\nghi,2,2,,,,\n",
        **{f"images/{name}.jpg": name.encode() for name in ("abc", "def", "ghi")},
    },
    "benchmarks/mmt_09": {
        "metadata.csv": "image,label_09,label_74,patient_id,lesion_id,age,thickness\n"
        "x.jpg,Basal Cell Carcinoma,word 2,P1,1,45,1.25\n"
        "images\\y.jpg,6,Word 1,P1,2,NaN,\nz.jpg,rash,word 1,,,,3\n",
        "classes_74.txt": "".join(f"word {n}\n" for n in range(74)),
        **{f"images/{name}.jpg": name.encode() for name in "xyz"},
    },
    "benchmarks/sd_128": {
        "classes.txt": "Acne_Vulgaris\nBeau's_Lines\n" + "".join(f"Condition {n}\n" for n in range(126)),
        "images/Acne_Vulgaris/1.jpg": b"1",
        "images/Beau's_Lines/1.jpg": b"2",
        "images/Xerosis/1.jpg": b"3",
        "8_train.txt": "images/Acne_Vulgaris/1.jpg\n",
    },
    "benchmarks/patch16": {
        "data/tiles-v2.csv": "file,class,set\n"
        + "".join(f"data/tiles/{name}/{name}_ws_44_{n}.jpg,{name},Train\n" for n, name in enumerate(TISSUES))
        + f"data/tiles/{TISSUES[0]}/{TISSUES[0]}_ws_9_1.jpg,{TISSUES[1]},Test\n",
        **{f"data/tiles/{name}/{name}_ws_44_{n}.jpg": b"%d" % n for n, name in enumerate(TISSUES)},
        f"data/tiles/{TISSUES[0]}/{TISSUES[0]}_ws_9_1.jpg": b"3",
        "data/class_dict.json": "{}",
    },
    "benchmarks/sddi2": {
        "metadata.csv": "image,lesion_id,visit,label,malignant_change\n1.jpg,L1,1,changed,yes\n2.jpg,L1,2,Changed,yes\n"
        "3.jpg,L2,1,unchanged,\n4.jpg,L2,2,changed,\n5.jpg,L3,1,unchanged,1\n6.jpg,,2,unchanged,0\n",
        **{f"{n}.jpg": b"%d" % n for n in range(1, 7)},
    },
    "benchmarks/sddi_alfred": {
        "metadata.csv": "image,patient_id,lesion_id,visit,label\n1.jpg,P1,L1,1,malignant\n2.jpg,P1,L1,2,malignant\n",
        **{f"images/{n}.jpg": b"%d" % n for n in range(1, 3)},
    },
    "benchmarks/combinemel": {
        "metadata.csv": "image,patient_id,metastasis,stage,breslow,ulceration,location,rfi_years,recurrence,age\n"
        "1.jpg,P1,None,IIB,1.2,no,Back,3.5,no,55\n2.jpg,P1,distant,3,,yes,Back,NaN,yes,55\n"
        "3.jpg,P2,none,1a,,,,4,yes,\n4.jpg,P3,nodal,IV,,,,4,1,\n5.jpg,P3,Local,Stage IV,,,,4,1,\n",
        **{f"images/{n}.jpg": b"%d" % n for n in range(1, 6)},
    },
    "benchmarks/photodamage": {
        "metadata.csv": "image,label,patient_id,split\n1.jpg,Low,P1,train\n2.jpg,severe,P2,Testing\n3.jpg,low,P2,holdout\n",
        **{f"tiles/{n}.jpg": b"%d" % n for n in range(1, 4)},
    },
    "benchmarks/nevus_count": {
        "metadata.csv": "image,label,label_in_clinic,split,patient_id\n1.png,nevus,,,P\n2.png,Naevus,non-nevus,,Q\n"
        "3.png,nevus,,test,Q\n4.png,other,nevus,train,R\n",
        **{f"{n}.png": b"%d" % n for n in range(1, 5)},
    },
    "benchmarks/tbp_risk": {
        "subjects.csv": "subject,age,sex,split\nQ1,51,F,train\nQ2,,unknown,Holdout\n",
        "Q1/2020/lesions.csv": "lesion_id,A,majorAxisMM,location_simple,out_of_bounds_fraction,dermoscopy,pathology\n"
        "L1,1.5,NaN,Torso Back,0.1,no,\nL2,1,2,,0.1,yes,Melanoma\nL3,1,2,,0.1,no,malignant\nL4,1,2,,0.1,perhaps,\n"
        "L5,1,2,,0.1,yes,odd\n",
        **{f"Q1/2020/tiles/L{n}.png": b"%d" % n for n in range(1, 6)},
        "Q2/2020/lesions.csv": "lesion_id,dermoscopy\nL1,no\n",
        "Q2/2020/tiles/L1.png": b"9",
    },
}
ARCHIVE = "isic_id,benign_malignant,diagnosis,image_type,age_approx,sex,anatom_site_general,lesion_id,patient_id\n"
LEVELS = "isic_id,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_confirm_type,image_type,lesion_id,acquisition_day,age_approx\n"
SEVEN_POINTS = "case_num,diagnosis,seven_point_score,streaks,location,sex,clinic,derm\n"
MASKS = "HAM10000_segmentations_lesion_tschandl"
LAYOUTS |= {
    "benchmarks/hiba": {
        "metadata.csv": ARCHIVE + "ISIC_1,malignant,melanoma,dermoscopic,55.0,Female,head/neck,IL_1,IP_1\n"
        "ISIC_2,benign,nevus,clinical: close-up,NaN,unknown,,IL_2,IP_1\nISIC_3,benign,melanoma,dermoscopic,,,,,\n"
        "ISIC_4,,rash,dermoscopic,,,,,\nISIC_9,benign,nevus,dermoscopic,,,,,\n",
        **{f"ISIC-images/ISIC_{n}.jpg": b"%d" % n for n in range(1, 6)},
        "attribution.txt": "somebody",
        "licenses/CC-0.txt": "text",
    },
    "benchmarks/bcn20000": {
        "bcn20000_metadata_2024-12-27.csv": LEVELS + "ISIC_1,Malignant,x,Basal cell carcinoma,,dermoscopic,IL_1,,55\n"
        "ISIC_2,Benign,Benign melanocytic proliferations,Nevus,,,IL_2,,85+\nISIC_3,Benign,,Scar,,,,,\nISIC_4,,,,,,,,\n",
        **{f"ISIC-images/ISIC_{n}.jpg": b"%d" % n for n in range(1, 5)},
    },
    "benchmarks/mskcc": {
        "ISIC_2020_Training_GroundTruth.csv": "image_name,patient_id,sex,age_approx,diagnosis,benign_malignant,target\n"
        "ISIC_1,IP_1,male,45.0,melanoma,malignant,1\nISIC_2,IP_1,male,45.0,unknown,benign,0\nISIC_3,IP_2,,,nevus,benign,1\n",
        "ISIC_2020_Training_More.csv": "image_name,anatom_site_general_challenge\nISIC_2,torso\nISIC_1,torso\n",
        **{f"train/ISIC_{n}.jpg": b"%d" % n for n in range(1, 4)},
    },
    "benchmarks/sddi1": {
        "metadata.csv": LEVELS + "ISIC_1,Benign,,Nevus,histopathology,dermoscopic,IL_1,90,40\n"
        "ISIC_2,Benign,,Nevus,,dermoscopic,IL_1,1,40\nISIC_3,Benign,,Nevus,histopathology,dermoscopic,IL_2,1,\n",
        **{f"ISIC-images/ISIC_{n}.jpg": b"%d" % n for n in range(1, 4)},
    },
    "benchmarks/derm7pt_d": {
        "meta/meta.csv": SEVEN_POINTS + "1,Melanoma (in situ),5,irregular,back,female,NEL/n1.jpg,NEL/d1.jpg\n"
        "2,clark nevus,1,absent,,male,NEL/N2.JPG,NEL/d2.jpg\n3,wart,0,absent,,,NEL/n3.jpg,NEL/d3.jpg\n",
        "meta/train_indexes.csv": "indexes\n0\n",
        "meta/test_indexes.csv": "indexes\n1\n2\n",
        **{f"images/NEL/{kind}{n}.jpg": b"%d" % n for n in range(1, 4) for kind in "nd"},
    },
    "benchmarks/isic2018_seg": {
        **{f"ISIC2018_Task1-2_Training_Input/ISIC_{n}.jpg": b"%d" % n for n in range(1, 4)},
        **{f"ISIC2018_Task1_Training_GroundTruth/ISIC_{n}_segmentation.png": b"m" for n in (1, 2, 7)},
        "ISIC2018_Task1-2_Training_Input/ISIC_1_superpixels.png": b"s",
    },
    "benchmarks/ham10000_seg": {
        "HAM10000_metadata.csv": "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_1,nv,histo,45.0,male,back\nHAM_2,ISIC_2,mel,histo,,unknown,\n",
        **{f"HAM10000_images_part_1/ISIC_{n}.jpg": b"%d" % n for n in (1, 2, 3)},
        **{f"{MASKS}/ISIC_{n}_segmentation.png": b"m" for n in (1, 3, 7)},
    },
}
STAINED = aperio(Image.new("RGB", (600, 300), (205, 110, 160)), 20)
LAYOUTS["benchmarks/cptac_cm"] = {
    "slides.csv": "Slide_ID,Case_ID,Specimen_Type\nC3L-00001-21,C3L-00001,tumor_tissue\nC3N-00002-22,,Normal\nlost,P,Normal\n",
    **{f"CM/{name}.svs": STAINED for name in ("C3L-00001-21", "C3N-00002-22", "C3N-00003-22")},
    "CM/broken.svs": b"no slide",
}
LAYOUTS["benchmarks/derm7pt_c"] = LAYOUTS["benchmarks/derm7pt_d"]
LAYOUTS["benchmarks/mmt_74"] = LAYOUTS["benchmarks/mmt_09"]
LAYOUTS["benchmarks/tbp_screening"] = LAYOUTS["benchmarks/tbp_risk"]
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
