from __future__ import annotations

import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.curation.checks import check_folds, check_split
from panderm.curation.moved import moved_table


def test_check_split__one_class_is_refused_and_a_missing_one_is_noted() -> None:
    label = pd.Series(list("aabbab"))
    split = pd.Series(["train"] * 3 + ["test"] * 3)
    notes = check_split("t", split, label, ("a", "b", "c"))
    assert notes[0] == "the train split has no image of: c"
    assert "the val split has no image of: a, b, c" in notes
    with pytest.raises(InputError, match="t: the test split has only 'b'; at least two classes"):
        check_split("t", pd.Series(["train", "train", "train", "test", "train", "test"]), label, ("a", "b"))
    with pytest.raises(InputError, match="the test split has no image"):
        check_split("t", pd.Series(["train"] * 6), label, ("a", "b"))


def test_check_split__a_task_of_one_label_has_nothing_to_lack_and_many_classes_are_not_listed() -> None:
    split = pd.Series(["train", "val", "test"] * 10)
    assert check_split("masks", split, pd.Series(["a"] * 30), ("a",)) == []
    many = check_split("conditions", split, pd.Series(["a", "b"] * 15), ("a", "b", *"cdefghijklmn"))
    assert many[0] == "the train split has no image of: c, d, e, f, g, h, i, j and 4 others"


def test_check_split__says_who_left_a_split_that_is_empty() -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d"],
            "group": ["n:1", "n:1", "n:2", "n:2"],
            "patient_id": ["n:1", "n:1", "n:2", "n:2"],
            "lesion_id": None,
            "split": ["train", "test", "train", "test"],
            "label": ["x", "y", "x", "y"],
        }
    )
    split = pd.Series(["train"] * 4)
    moved = moved_table(rows, split, rows["split"] == "test")
    with pytest.raises(InputError) as refused:
        check_split("t", split, rows["label"], ("x", "y"), moved)
    assert str(refused.value) == (
        "t: the test split has no image, since 2 images that are listed there belong to patients, lesions or pictures of "
        "another split too (patient n:1 is in train (a) and in test (b); all of it goes to train); mend the splits in the "
        "delivery"
    )


def test_check_folds__names_the_fold_and_the_class() -> None:
    fold = pd.Series([0, 0, 1, 1, 2, 2, 3, 3])
    assert check_folds("t", fold, pd.Series(list("abababab")), ("a", "b"), 4) == []
    notes = check_folds("t", fold, pd.Series(list("aaababab")), ("a", "b"), 4)
    assert notes == ["fold 1 has no image of: b"]
    with pytest.raises(InputError) as refused:
        check_folds("t", fold, pd.Series(list("aaaaabab")), ("a", "b"), 4)
    assert str(refused.value) == (
        "t: fold 3 of 4 would be tested by a model trained on only 'a'; at least two classes are needed beside that fold and "
        "the next one, deliver patients or lesions of b"
    )
    assert check_folds("masks", fold, pd.Series(["m"] * 8), ("m",), 4) == []
