from __future__ import annotations

import pandas as pd

from panderm.core.tables import MOVED
from panderm.curation.moved import moved_sentences, moved_table
from panderm.curation.telling import NAMED


def _rows(*images: tuple[str, str, str | None, str | None, str | None]) -> pd.DataFrame:
    return pd.DataFrame(images, columns=["image_id", "group", "patient_id", "lesion_id", "split"]).assign(label="x")


def _told(rows: pd.DataFrame, split: str = "train") -> list[str]:
    table = moved_table(rows, pd.Series([split] * len(rows)), rows["split"] == "test")
    assert list(table.columns) == MOVED.names
    return moved_sentences(table)


def test_sentences__name_who_where_and_whereto() -> None:
    rows = _rows(
        ("a", "n:1", "n:1", None, "train"),
        ("b", "n:1", "n:1", None, "test"),
        ("c", "n:1", "n:1", None, None),
        ("d", "n:9", "n:9", None, "train"),  # nobody moved: no word of it
        ("e", "n:L", None, "n:L", "val"),
        ("f", "n:L", None, "n:L", "test"),
        ("g", "g", None, None, "train"),
        ("h", "g", None, None, "test"),
    )
    assert _told(rows) == [
        "the same picture is in train (g) and in test (h); all of it goes to train",
        "patient n:1 is in train (a) and in test (b) and in no split (c); all of it goes to train",
        "lesion n:L is in val (e) and in test (f); all of it goes to train",
    ]


def test_sentences__of_two_patients_whom_a_picture_joins() -> None:
    rows = _rows(*((f"i{n}", "n:1", f"n:{1 + n % 2}", None, ["train", "test"][n % 2]) for n in range(10)))
    assert _told(rows, "val") == [
        "what joins the patients n:1, n:2 (a lesion or the same picture) is in train (i0, i2, i4 and 2 more) and in test "
        "(i1, i3, i5 and 2 more); all of it goes to val"
    ]


def test_sentences__many_are_counted_and_the_table_has_them_all() -> None:
    images = [(f"i{n:03d}", f"p{n // 2:03d}", f"p{n // 2:03d}", None, ["train", "test"][n % 2]) for n in range(60)]
    told = _told(_rows(*images))
    assert len(told) == NAMED + 1
    assert told[-1] == "20 more are in two splits; moved.parquet beside the split names all"
