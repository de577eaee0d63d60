"""What a delivery calls the classes, and what happens where nobody can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from panderm.catalog import Dataset
from panderm.readers import read
from panderm.readers.class_list import key

THREE = tuple(f"condition_{n:02d}" for n in (1, 2, 3))
WORDS = {"Acne/1.jpg": b"1", "Milia/2.jpg": b"2", "Zoster/3.jpg": b"3"}


def sd(classes: tuple[str, ...] = THREE) -> Dataset:
    return Dataset("benchmarks/sd_128", "sd", ("clinical",), "sd", classes)


def labels(dataset: Dataset, folder: Path) -> dict[str, str]:
    rows = read(dataset, folder).rows
    return dict(zip(rows["path"].str.split("/").str[0], rows["label"], strict=True))


def test_placeholders__take_the_words_in_alphabetical_order_where_the_count_fits(landing: Any) -> None:
    assert labels(sd(), landing(WORDS)) == {"Acne": "condition_01", "Milia": "condition_02", "Zoster": "condition_03"}


def test_placeholders__are_not_guessed_where_it_does_not(landing: Any) -> None:
    rejects = read(sd(), landing({"Acne/1.jpg": b"1", "Zoster/3.jpg": b"3"})).rejects
    assert list(rejects["reason"]) == ["unknown_label", "unknown_label"]
    assert set(rejects["detail"]) == {"the delivery has 2 labels for 3 classes; name the classes in classes.txt, one a line"}


def test_names_of_the_catalogue__never_take_other_words(landing: Any) -> None:
    delivery = read(sd(("psoriasis", "eczema", "acne")), landing(WORDS))
    assert list(delivery.rows["label"]) == ["acne"]
    assert list(delivery.rejects["reason"]) == ["unknown_label", "unknown_label"]


def test_classes_txt__says_the_order_and_leaves_out_what_it_does_not_name(landing: Any) -> None:
    folder = landing(WORDS | {"Rare/4.jpg": b"4", "classes.txt": "zoster\r\nMILIA\r\n\r\nAcne\r\n"})
    assert labels(sd(), folder) == {"Acne": "condition_03", "Milia": "condition_02", "Zoster": "condition_01"}
    delivery = read(sd(), folder)
    assert list(delivery.rejects["path"]) == ["Rare/4.jpg"]
    assert delivery.metadata_files == ("classes.txt",)
    assert delivery.rows["attributes"].iloc[0] == '{"delivered_label": "Acne"}'


@pytest.mark.parametrize("text", ["Acne\nMilia\n", "Acne\nMilia\nacne\n", "Acne\nMilia\nZoster\nRare\n"])
def test_classes_txt__of_another_length_is_refused(landing: Any, text: str) -> None:
    delivery = read(sd(), landing(WORDS | {"classes.txt": text}))
    refused = delivery.rejects.set_index("path").loc["classes.txt"]
    assert refused["reason"] == "bad_metadata"
    assert "the task has 3" in refused["detail"]
    assert len(delivery.rows) == 3, "three words for three classes need no list"


def test_key__sees_through_case_and_separators() -> None:
    assert key("Basal_Cell  Carcinoma") == key("basal-cell carcinoma") == key("basal_cell_carcinoma")
    assert key("Beau's_Lines") != key("Beaus_Lines")


def test_numbers__count_in_the_order_of_classes_txt(landing: Any) -> None:
    table = "image,label,split\na.jpg,0,train\nb.jpg,1.0,test\nc.jpg,2,test\n"
    images = {f"{name}.jpg": name.encode() for name in "abc"}
    ham = Dataset("benchmarks/ham10000", "ham10000", ("dermoscopic",), "isic", ("bcc", "mel", "nv"), "diagnosis")
    assert list(read(ham, landing(images | {"panderm.csv": table})).rows["label"]) == ["bcc", "mel", "nv"]
    ordered = read(ham, landing({"classes.txt": "nv\nbcc\nmel\n"})).rows
    assert list(ordered["label"]) == ["nv", "bcc", "mel"]
    assert list(ordered["split"]) == ["train", "test", "test"]
    assert pd.isna(ordered["patient_id"]).all()
