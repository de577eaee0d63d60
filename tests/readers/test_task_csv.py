"""The CSV of the in-house tasks and the public code's, and what each task asks of it besides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panderm.catalog import dataset
from panderm.readers import Delivery, read


def why(delivery: Delivery) -> dict[str, tuple[str, str]]:
    rejects = delivery.rejects
    return {p: (r, d) for p, r, d in zip(rejects["path"], rejects["reason"], rejects["detail"], strict=True)}


def attributes(delivery: Delivery, image_id: str) -> dict[str, Any]:
    text = delivery.rows.set_index("image_id").loc[image_id, "attributes"]
    found: dict[str, Any] = json.loads(text)
    return found


def test_metadata_csv__has_a_label_column_for_each_of_two_tasks(landing: Any, layouts: Any) -> None:
    folder = landing(layouts["benchmarks/mmt_09"])
    broad, fine = read(dataset("benchmarks/mmt_09"), folder), read(dataset("benchmarks/mmt_74"), folder)
    assert list(broad.rows["label"]) == ["basal_cell_carcinoma", "melanoma"]
    assert list(fine.rows["label"]) == ["condition_03", "condition_02", "condition_02"]
    assert broad.metadata_files == fine.metadata_files == ("classes_74.txt", "metadata.csv")
    assert attributes(broad, "x") == {"label_74": "word 2", "thickness": 1.25, "delivered_label": "Basal Cell Carcinoma"}
    assert why(broad)["images/z.jpg"][0] == "unknown_label"
    assert list(broad.rows["lesion_id"]) == ["mmt:P1/1", "mmt:P1/2"]


def test_metadata_csv__refuses_a_split_that_is_none(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/photodamage"), landing(layouts["benchmarks/photodamage"]))
    assert list(delivery.rows["split"]) == ["train", "test"]
    assert why(delivery)["tiles/3.jpg"] == ("bad_value", "metadata.csv#4: the split is 'holdout'; allowed: train, val, test")


@pytest.mark.parametrize(
    "named", ["/data/share/ham/images/x.jpg", "ham\\images\\x.jpg", "images/x.jpg", "./ham/images/x.jpg", "ham/images/X.JPG"]
)
def test_panderm_csv__names_its_images_from_anywhere(landing: Any, named: str) -> None:
    folder = landing({"PanDerm.csv": f"image,label,split\n{named},4,train\n", "ham/images/x.jpg": b"1"})
    rows = read(dataset("benchmarks/ham10000"), folder).rows
    assert (rows["path"].iloc[0], rows["label"].iloc[0]) == ("ham/images/x.jpg", "mel")


def test_panderm_csv__tells_files_of_one_name_by_their_folders(landing: Any) -> None:
    table = "image,binary_label,label,split\n/data/a/1.jpg,1,0,test\n/data/b/1.jpg,0,1,test\n1.jpg,0,1,test\n"
    delivery = read(dataset("benchmarks/ddi"), landing({"panderm.csv": table, "a/1.jpg": b"1", "b/1.jpg": b"2"}))
    assert dict(zip(delivery.rows["path"], delivery.rows["label"], strict=True)) == {"a/1.jpg": "melanoma", "b/1.jpg": "other"}
    assert delivery.rows["image_id"].is_unique
    assert why(delivery)["1.jpg"][0] == "missing_file"


def test_panderm_csv__needs_a_split_and_a_class(landing: Any) -> None:
    folder = landing({"panderm.csv": "image,label\n1.jpg,1\n", "1.jpg": b"1"})
    assert why(read(dataset("benchmarks/ddi"), folder))["1.jpg"] == ("missing_column", "panderm.csv lacks the column 'split'")
    folder = landing({"panderm.csv": "image,label,split\n1.jpg,7,train\n"})
    assert (
        why(read(dataset("benchmarks/ddi"), folder))["1.jpg"][1] == "panderm.csv#2: the label is '7'; allowed: other, melanoma"
    )


def test_sequence_csv__refuses_lesions_whose_rows_disagree(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/sddi2"), landing(layouts["benchmarks/sddi2"]))
    assert list(delivery.rows["label"]) == ["changed", "changed"]
    assert list(delivery.rows["visit"]) == ["1", "2"]
    assert attributes(delivery, "1") == {"malignant_change": 1}
    both = "rows of lesion_id sddi:L2 say label 'changed' and 'unchanged'"
    assert why(delivery) == {
        "3.jpg": ("contradiction", f"metadata.csv#4: {both}"),
        "4.jpg": ("contradiction", f"metadata.csv#5: {both}"),
        "5.jpg": ("contradiction", "metadata.csv#6: label is 'unchanged' but malignant_change is yes"),
        "6.jpg": (
            "bad_value",
            "metadata.csv#7: it has no lesion_id; without it nobody can say where in which sequence it belongs",
        ),
    }


def test_combinemel__keeps_what_the_cox_model_reads(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/combinemel"), landing(layouts["benchmarks/combinemel"]))
    assert list(delivery.rows["label"]) == ["control", "local"]
    assert list(delivery.rows["site"].dropna()) == ["back"]
    assert attributes(delivery, "1") == {"breslow": 1.2, "recurrence": 0, "rfi_months": 42.0, "stage": "II", "ulceration": 0}
    assert attributes(delivery, "5") == {"recurrence": 1, "rfi_months": 48.0, "stage": "IV"}


def test_combinemel__names_the_row_whose_time_is_missing(landing: Any, layouts: Any) -> None:
    refused = why(read(dataset("benchmarks/combinemel"), landing(layouts["benchmarks/combinemel"])))
    assert refused["images/2.jpg"][0] == "bad_value"
    assert refused["images/2.jpg"][1].startswith("metadata.csv#3: the recurrence-free interval is missing")
    assert refused["images/3.jpg"] == ("contradiction", "metadata.csv#4: metastasis is none but recurrence is yes")
    assert refused["images/4.jpg"][1].startswith("metadata.csv#5: the label is 'nodal'")


def test_nevus_csv__tests_on_the_clinics_label(landing: Any, layouts: Any) -> None:
    delivery = read(dataset("benchmarks/nevus_count"), landing(layouts["benchmarks/nevus_count"]))
    rows = delivery.rows.set_index("image_id")
    assert list(rows["label"]) == ["nevus", "other", "other"]
    assert list(rows["split"]) == ["train", "test", "train"]
    assert attributes(delivery, "2")["label_on_screen"] == "nevus"
    assert why(delivery)["3.png"] == (
        "unknown_label",
        "metadata.csv#4: it is a test image without label_in_clinic, the gold standard",
    )


@pytest.mark.parametrize("task", ["sddi2", "sddi_alfred", "combinemel", "sddi1", "cptac_cm", "tbp_risk"])
def test_panderm_csv__is_for_diagnosis_only(landing: Any, task: str) -> None:
    folder = landing({"panderm.csv": "image,label,split\n1.jpg,1,train\n2.jpg,0,test\n", "1.jpg": b"1", "2.jpg": b"2"})
    assert read(dataset(f"benchmarks/{task}"), folder).rows.empty


VISITS = "image,lesion_id,visit,label\n"


def visits(delivery: Delivery) -> dict[str, str]:
    return dict(zip(delivery.rows["image_id"], delivery.rows["visit"], strict=True))


def test_sequence_csv__dates_become_time_points_in_their_order(landing: Any) -> None:
    rows = "1.jpg,L1,2019-03-01,benign\n2.jpg,L1,2018-12-24T10:30:00,benign\n3.jpg,L1,2019-03-01 08:00,benign\n"
    rows += "4.jpg,L2,2020-01-01,malignant\n5.jpg,L2,3,malignant\n6.jpg,L3,2.0,benign\n7.jpg,L3,01/03/2019,benign\n"
    folder = landing({"metadata.csv": VISITS + rows} | {f"{n}.jpg": b"%d" % n for n in range(1, 8)})
    delivery = read(dataset("benchmarks/sddi_alfred"), folder)
    assert visits(delivery) == {"1": "2", "2": "1", "5": "3", "6": "2"}
    assert not delivery.rows.astype(str).apply(lambda column: column.str.contains("2019|2018")).any(axis=None)
    allowed = "allowed: a number, or a date like 2019-03-01 in every row of the lesion"
    second = "it is a second image of lesion_id sddi:L1 at visit '2019-03-01 08:00'; that of metadata.csv#2 counts"
    assert why(delivery) == {
        "3.jpg": ("bad_value", f"metadata.csv#4: {second}"),
        "4.jpg": ("bad_value", f"metadata.csv#5: visit is '2020-01-01'; {allowed}"),
        "7.jpg": ("bad_value", f"metadata.csv#8: visit is '01/03/2019'; {allowed}"),
    }


def test_sequence_csv__of_two_images_at_one_time_point_the_first_delivered_counts(landing: Any) -> None:
    rows = "lost.jpg,L1,1,benign\n1.jpg,L1,1,benign\n1.jpg,L1,1,benign\n2.jpg,L1,1.0,benign\n3.jpg,L2,1,benign\n"
    folder = landing({"metadata.csv": VISITS + rows} | {f"{n}.jpg": b"%d" % n for n in range(1, 4)})
    delivery = read(dataset("benchmarks/sddi_alfred"), folder)
    assert visits(delivery) == {"1": "1", "3": "1"}
    assert why(delivery)["2.jpg"][1].endswith("at visit '1.0'; that of metadata.csv#3 counts")
    assert why(delivery)["metadata.csv#4"][0] == "duplicate_row"


def test_metadata_csv__carries_no_date_of_a_visit_on(landing: Any) -> None:
    table = "image,label,lesion_id,visit\n1.jpg,low,L1,2019-03-01\n2.jpg,low,,2019-03-01\n3.jpg,low,L2,baseline\n"
    folder = landing({"metadata.csv": table} | {f"{n}.jpg": b"%d" % n for n in range(1, 4)})
    assert list(read(dataset("benchmarks/photodamage"), folder).rows["visit"].fillna("?")) == ["1", "?", "baseline"]
