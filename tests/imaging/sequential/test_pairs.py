from __future__ import annotations

import json

import pandas as pd

from panderm.imaging.sequential.pairs import images_of, pairs_of, sequences

CLASSES = ("unchanged", "changed")


def table(*images: tuple[str, str | None, str | None, str | None]) -> pd.DataFrame:
    return pd.DataFrame(images, columns=["image_id", "lesion_id", "visit", "label"])


def test_sequences__counts_what_cannot_be_compared() -> None:
    rows = table(
        ("a1", "A", "1", "changed"),
        ("a2", "A", "2", "changed"),
        ("a3", "A", "2", "changed"),  # the same time point again
        ("b1", "B", "1", "unchanged"),  # alone
        ("c1", "C", None, "unchanged"),
        ("d1", None, "1", "unchanged"),
        ("e1", "E", "1", None),  # the first of its lesion needs no label
        ("e2", "E", "2", "unchanged"),
        ("e3", "E", "3", "who knows"),
    )
    found = sequences(rows, CLASSES)
    assert list(found.rows["image_id"]) == ["a1", "a2", "e1", "e2"]
    assert list(found.rows["label"]) == ["changed", "changed", "unchanged", "unchanged"]
    assert found.left_out == {"without_time_point": 2, "unlabelled": 1, "same_time_point": 1, "single_visit": 1}


def split(count: int) -> pd.DataFrame:
    frame = table(*((f"i{n}", "A" if n < count else "B", str(10 - n if n < count else n), "changed") for n in range(count + 1)))
    facts = {"group": "p", "fold": 0, "target": 1, "age": 50.0, "sex": "male", "site": None, "skin_type": None}
    place = {"shard": "s", "offset": 0, "nbytes": 1, "stored_sha256": frame["image_id"]}
    said = [json.dumps({"malignant_change": int(n == 0)}) if n < 2 else None for n in range(count + 1)]
    return frame.assign(**facts, **place, attributes=said)


def test_pairs_of__compares_each_image_with_the_one_before_it() -> None:
    pairs = pairs_of(split(3))  # time points 10, 9, 8: named backwards
    assert list(pairs["image_id"]) == ["i1+i0", "i2+i1"]
    assert list(images_of(pairs, "first")["image_id"]) == ["i1", "i2"]
    assert list(pairs["malignant_change"]) == [1, 0]


def test_pairs_of__can_take_first_and_last_alone() -> None:
    pairs = pairs_of(split(3), "first_and_last")
    assert list(pairs["image_id"]) == ["i2+i0"]
    assert pairs["first_stored_sha256"].item() == "i2"
