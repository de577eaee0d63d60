"""What the readers of the public collections take from their layouts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panderm.catalog import Dataset, dataset
from panderm.readers import Delivery, read


def read_layout(key: str, landing: Any, layouts: Any) -> Delivery:
    return read(dataset(f"benchmarks/{key}"), landing(layouts[f"benchmarks/{key}"]))


def why(delivery: Delivery) -> dict[str, str]:
    return dict(zip(delivery.rejects["path"], delivery.rejects["detail"], strict=True))


def test_ddi__is_melanoma_against_the_rest(landing: Any, layouts: Any) -> None:
    delivery = read_layout("ddi", landing, layouts)
    assert list(delivery.rows["label"]) == ["melanoma", "other"]
    assert list(delivery.rows["skin_type"]) == ["I-II", "V-VI"]
    assert json.loads(delivery.rows["attributes"].iloc[0]) == {"disease": "melanoma-in-situ", "malignant": 1}
    assert why(delivery) == {
        "000003.png": "ddi_metadata.csv#4: disease is 'melanoma' but malignant is false",
        "000004.png": "ddi_metadata.csv#5: it has no label; allowed: other, melanoma",
    }


def test_ph2__reads_the_table_of_bars_and_leaves_masks_aside(landing: Any, layouts: Any) -> None:
    delivery = read_layout("ph2", landing, layouts)
    assert list(delivery.rows["image_id"]) == ["IMD003", "IMD063"]
    assert list(delivery.rows["label"]) == ["other", "melanoma"]
    assert set(delivery.rows["modality"]) == {"dermoscopic"}
    assert list(why(delivery).values()) == ["PH2_dataset.txt#4: the label is '7'; allowed: other, melanoma"]
    mask = "PH2 Dataset images/IMD063/IMD063_lesion/IMD063_lesion.bmp"
    assert delivery.metadata_files == (mask, "PH2_dataset.txt", "PH2_dataset.xlsx")
    facts = json.loads(delivery.rows.set_index("image_id").loc["IMD063", "attributes"])
    assert facts == {
        "asymmetry": "2",
        "diagnosis": "melanoma",
        "histological_diagnosis": "Melanoma",
        "pigment_network": "AT",
    }


@pytest.mark.parametrize("text", ["", "no bars at all\n", "|| Name || Clinical Diagnosis ||\n|| IMD003 || 0 || 1 ||\n"])
def test_ph2__a_table_that_is_none_refuses_its_images(landing: Any, layouts: Any, text: str) -> None:
    delivery = read(dataset("benchmarks/ph2"), landing(layouts["benchmarks/ph2"] | {"PH2_dataset.txt": text}))
    assert delivery.rows.empty
    assert "bad_metadata" in set(delivery.rejects["reason"])


def test_med_node__takes_a_naevus_for_the_rest(landing: Any, layouts: Any) -> None:
    delivery = read_layout("med_node", landing, layouts)
    assert list(delivery.rows["label"]) == ["melanoma", "other"]
    assert why(delivery) == {"wart/3.jpg": "the label is 'wart'; allowed: other, melanoma"}


def test_dermnet__reads_the_split_above_the_family(landing: Any, layouts: Any) -> None:
    rows = read_layout("dermnet", landing, layouts).rows.set_index("path")
    assert rows["label"]["test/urticaria hives/1.jpg"] == "Urticaria Hives"
    assert rows["split"]["test/urticaria hives/1.jpg"] == "test"
    assert rows["split"].isna().tolist() == [True, False, False], "a folder outside of train and test ships no split"


def test_fitzpatrick17k__knows_no_skin_type_for_minus_one(landing: Any, layouts: Any) -> None:
    delivery = read_layout("fitzpatrick17k", landing, layouts)
    assert list(delivery.rows["label"]) == ["acne", "vitiligo"]
    assert list(delivery.rows["skin_type"].fillna("?")) == ["III", "?"]
    assert "example.org" not in "".join(delivery.rows["attributes"]), "links lead to people's photos"
    assert why(delivery)["images/ghi.jpg"].startswith(
        "fitzpatrick17k.csv#4: it has no label; allowed: acanthosis nigricans, acne"
    )
    assert "and 102 more" in why(delivery)["images/ghi.jpg"]


def test_patch16__keeps_tiles_of_a_slide_together_and_wants_folder_and_row_to_agree(landing: Any, layouts: Any) -> None:
    delivery = read_layout("patch16", landing, layouts)
    assert set(delivery.rows["lesion_id"]) == {"patch16:ws_44"}
    assert set(delivery.rows["split"]) == {"train"}
    (detail,) = why(delivery).values()
    assert detail == "data/tiles-v2.csv#4: class is 'tumor_skin_naevus_naevus' but file lies in 'nontumor_skin_dermis_dermis'"


@pytest.mark.parametrize("task", ["tbp_risk", "tbp_screening"])
def test_vectra_task__carries_measurements_and_malignancy(landing: Any, layouts: Any, task: str) -> None:
    delivery = read_layout(task, landing, layouts)
    rows = delivery.rows.set_index("image_id")
    assert dict(rows["label"]) == {"Q1_2020_L1": "low", "Q1_2020_L2": "high"}
    assert dict(rows["split"]) == {"Q1_2020_L1": "train", "Q1_2020_L2": "train"}
    quiet = {"A": 1.5, "location_simple": "Torso Back", "malignant": 0, "out_of_bounds_fraction": 0.1}
    assert json.loads(rows["attributes"]["Q1_2020_L1"]) == quiet, "NaN is left out"
    assert json.loads(rows["attributes"]["Q1_2020_L2"])["malignant"] == 1
    assert why(delivery) == {
        "Q1/2020/tiles/L3.png": "Q1/2020/lesions.csv#4: dermoscopy is no but pathology is 'malignant'",
        "Q1/2020/tiles/L4.png": "Q1/2020/lesions.csv#5: the label is 'perhaps'; allowed: low, high",
        "Q1/2020/tiles/L5.png": "Q1/2020/lesions.csv#6: pathology is 'odd'; allowed: benign, malignant, melanoma, BCC, SCC, "
        "nevus and the other words of docs/deliveries.md, or blank",
        "Q2/2020/tiles/L1.png": "Q2/2020/lesions.csv#2: the split is 'Holdout'; allowed: train, val, test",
    }


def test_vectra_task__reads_decimals_with_a_comma(landing: Any) -> None:
    table = "lesion_id;A;majorAxisMM;dermoscopy\nL1;1,5;-2,25;no\n"
    folder = landing({"Q1/2020/lesions.csv": table, "Q1/2020/tiles/L1.png": b"1"})
    row = read(dataset("benchmarks/tbp_risk"), folder).rows.iloc[0]
    assert json.loads(row["attributes"]) == {"A": 1.5, "majorAxisMM": -2.25, "malignant": 0}


def test_vectra__of_a_source_takes_no_split_from_the_subjects(landing: Any, layouts: Any) -> None:
    source = Dataset("mym", "vectra", ("tbp",), "qld", ())
    assert read(source, landing(layouts["benchmarks/tbp_risk"])).rows["split"].isna().all()
