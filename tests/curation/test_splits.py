from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.curation.splits import Split, assign, assign_folds, conflicting_labels, join_groups

SHARES: dict[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}
NOTHING = pd.Series(dtype=object)
NO_PAIRS = pd.DataFrame({"i": [], "j": []}, dtype=np.int64)


def _rows(groups: int, per_group: int = 1, labels: str = "aaab", split: str | None = None) -> pd.DataFrame:
    numbers = np.repeat(np.arange(groups), per_group)
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(len(numbers))],
            "group": [f"g{n:04d}" for n in numbers],
            "label": [labels[n % len(labels)] for n in numbers],
            "split": pd.Series([split] * len(numbers), dtype=object),
        }
    )


def _crossing(rows: pd.DataFrame, split: pd.Series) -> int:
    return int((split.groupby(rows["group"]).nunique() > 1).sum())


def test_groups__patient_lesion_and_same_picture_join_through_each_other() -> None:
    rows = pd.DataFrame(
        {
            "image_id": ["a", "b", "c", "d", "e", "f"],
            "patient_id": ["p2", "p2", None, "p1", None, None],
            "lesion_id": [None, "l1", "l1", None, None, "l9"],
        }
    )
    groups = join_groups(rows, pd.DataFrame({"i": [2], "j": [3]}))  # c shows the same picture as d
    assert list(groups) == ["p1", "p1", "p1", "p1", "e", "l9"]


def test_assign__shares_hold_in_every_class_and_no_group_crosses() -> None:
    rows = _rows(1000, per_group=3)
    split, moved = assign(rows, NOTHING, SHARES, seed=0)
    assert _crossing(rows, split) == 0
    assert not moved.any()
    for label in "ab":
        shares = split[rows["label"] == label].value_counts(normalize=True)
        assert shares.to_dict() == pytest.approx(SHARES, abs=0.01)


def test_assign__the_seed_decides_and_the_order_of_rows_does_not() -> None:
    rows = _rows(200)
    first, _ = assign(rows, NOTHING, SHARES, seed=0)
    turned = rows.iloc[::-1].reset_index(drop=True)
    second, _ = assign(turned, NOTHING, SHARES, seed=0)
    assert dict(zip(rows["image_id"], first, strict=True)) == dict(zip(turned["image_id"], second, strict=True))
    assert not first.equals(assign(rows, NOTHING, SHARES, seed=1)[0])


def test_assign__a_group_of_two_labels_counts_for_the_rarer() -> None:
    rows = _rows(60, labels="a")
    rows.loc[[0, 1, 2, 3, 4], "label"] = "rare"
    rows.loc[[5, 6, 7, 8, 9], "group"] = rows["group"][:5].to_list()
    split, _ = assign(rows, NOTHING, SHARES, seed=0)
    assert set(split[rows["label"] == "rare"]) == {"train", "val", "test"}


@pytest.mark.parametrize(("groups", "expected"), [(1, {"train"}), (2, {"train", "test"}), (5, {"train", "val", "test"})])
def test_assign__tiny_classes_serve_training_first_then_the_test(groups: int, expected: set[str]) -> None:
    split, _ = assign(_rows(groups, labels="a"), NOTHING, SHARES, seed=0)
    assert set(split) == expected


def test_assign__what_was_assigned_stays_when_a_delivery_arrives() -> None:
    before = _rows(100)
    split, _ = assign(before, NOTHING, SHARES, seed=0)
    prior = pd.Series(split.to_numpy(), index=before["image_id"])
    after = _rows(160)
    again, _ = assign(after, prior, SHARES, seed=0)
    assert list(again[:100]) == list(split)
    assert again.value_counts(normalize=True).to_dict() == pytest.approx(SHARES, abs=0.03)


def test_assign__a_new_image_that_joins_a_test_to_a_training_patient_brings_both_into_training() -> None:
    rows = _rows(3, labels="ab")
    rows["group"] = "joined"
    split, _ = assign(rows, pd.Series({"i0": "test", "i1": "train"}), SHARES, seed=0)
    assert list(split) == ["train"] * 3


def test_assign__shipped_splits_are_kept_and_nobody_joins_a_shipped_test() -> None:
    rows = _rows(300)
    rows.loc[:29, "split"] = "test"
    split, moved = assign(rows, NOTHING, SHARES, seed=0)
    assert list(rows.index[split == "test"]) == list(range(30))
    assert not moved.any()
    assert split[30:].value_counts(normalize=True).to_dict() == pytest.approx({"train": 0.75, "val": 0.25}, abs=0.02)


def test_assign__a_group_across_shipped_splits_goes_to_training_and_is_counted() -> None:
    rows = _rows(40, split="test")
    rows.loc[:19, "split"] = "train"
    rows.loc[20, "group"] = "g0000"
    split, moved = assign(rows, NOTHING, SHARES, seed=0)
    assert split[20] in ("train", "val")
    assert list(moved[moved].index) == [20]
    assert _crossing(rows, split) == 0


def test_assign__a_shipped_split_without_val_gets_one_out_of_training() -> None:
    rows = _rows(200, split="train")
    rows.loc[:39, "split"] = "test"
    split, moved = assign(rows, NOTHING, SHARES, seed=0)
    assert (split == "test").sum() == 40
    assert (split == "val").sum() == pytest.approx(40, abs=2)
    assert not moved.any()
    prior = pd.Series(split.to_numpy(), index=rows["image_id"])
    assert list(assign(_rows(200, split="train"), prior, SHARES, seed=0)[0][40:]) == list(split[40:])


def test_conflicting_labels__equal_bytes_with_two_labels() -> None:
    rows = pd.DataFrame(
        {"label": ["a", "b", "a", "a"], "delivered_sha256": ["1", "1", "2", "3"], "stored_sha256": ["x", "x", "y", "y"]}
    )
    assert list(conflicting_labels(rows)) == [True, True, False, False]


def test_folds__balanced_by_class_whole_groups_and_the_order_of_rows_does_not_matter() -> None:
    rows = _rows(103, per_group=2)
    folds = assign_folds(rows, NOTHING, 5, seed=0)
    assert _crossing(rows, folds) == 0
    counts = pd.crosstab(folds, rows["label"])
    assert (counts.max() - counts.min() <= 2).all(), f"a class is uneven over the folds:\n{counts}"
    turned = rows.iloc[::-1].reset_index(drop=True)
    again = assign_folds(turned, NOTHING, 5, seed=0)
    assert dict(zip(rows["image_id"], folds, strict=True)) == dict(zip(turned["image_id"], again, strict=True))


def test_folds__stand_when_a_delivery_adds_groups() -> None:
    first = assign_folds(_rows(40), NOTHING, 4, seed=0)
    prior = pd.Series(first.to_numpy(), index=_rows(40)["image_id"])
    second = assign_folds(_rows(60), prior, 4, seed=0)
    assert list(second[:40]) == list(first)
    assert set(second[40:]) == {0, 1, 2, 3}


def test_folds__fewer_groups_than_folds_is_one_sentence() -> None:
    with pytest.raises(InputError, match="3 patients or lesions cannot make 5 folds"):
        assign_folds(_rows(3), NOTHING, 5, seed=0)
