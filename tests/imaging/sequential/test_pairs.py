from __future__ import annotations

import json

import pandas as pd

from panderm.imaging.sequential.pairs import first_of_each_time, images_of, pairs_of, sequences, time_points

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


def test_time_points__numbers_or_dates_but_not_both_in_a_lesion() -> None:
    visits = ["2", "1.5", "2019-03-02", "2019-03-01T23:10", "later", "inf", None, "1", "2019-03-01", "2019-02-31"]
    lesions: list[str | None] = ["A", "A", "B", "B", "B", "B", "B", "C", "C", "D"]
    rows = pd.DataFrame({"visit": visits, "lesion_id": lesions})
    days = [(pd.Timestamp(f"2019-03-0{day}") - pd.Timestamp(0)).days for day in (2, 1)]
    assert time_points(rows).fillna(-1).tolist() == [2.0, 1.5, *days, -1, -1, -1, -1, -1, -1]


def test_sequences__dates_put_images_in_order_and_a_day_is_one_visit() -> None:
    rows = table(
        ("a", "A", "2020-01-05", "changed"), ("b", "A", "2019-12-31", "changed"), ("c", "A", "2020-01-05 10:30", "changed")
    )
    found = sequences(rows, CLASSES)
    assert list(found.rows["image_id"]) == ["a", "b"]
    assert found.left_out["same_time_point"] == 1
    facts = dict.fromkeys((*("group", "fold", "target", "age", "sex", "site", "skin_type", "shard"), "attributes"), "x")
    pairs = pairs_of(found.rows.assign(**facts, offset=0, nbytes=1, stored_sha256="s").assign(attributes=None))
    assert list(pairs["image_id"]) == ["b+a"]


def test_first_of_each_time__is_the_first_by_name() -> None:
    rows = table(("z", "A", "1", None), ("y", "A", "1", None), ("x", "A", "2", None), ("w", "B", "1", None))
    assert list(first_of_each_time(rows, time_points(rows))) == [False, True, True, True]


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
