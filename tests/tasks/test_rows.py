from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from panderm.catalog import benchmark
from panderm.core.errors import InputError
from panderm.core.tables import SPLIT, write_table
from panderm.tasks.rows import SPLIT_NAME, read_rows

TASK = benchmark("isic2024")


def written(folder: Path, **columns: list[Any]) -> Path:
    rows = {
        "image_id": ["a", "b", "c"],
        "split": ["train", "val", "test"],
        "label": ["benign", "malignant", "benign"],
        "target": [0, 1, 0],
        "group": ["g", "h", "i"],
    }
    write_table(folder / SPLIT_NAME, pd.DataFrame(rows | columns), SPLIT)
    return folder


def test_read_rows__a_group_in_two_splits_names_its_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"group 'g' in more than one split \(images a, b\); run `panderm curate` again"):
        read_rows(TASK, written(tmp_path, group=["g", "g", "i"]))


def test_read_rows__a_group_in_two_folds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="group 'g' in more than one fold"):
        read_rows(TASK, written(tmp_path, split=["test"] * 3, group=["g", "g", "i"], fold=[0, 1, 1]))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": ["benign", "Wart", "benign"]}, "label for isic2024 'Wart'|'Wart'.*benign, malignant"),
        ({"split": ["train", "val", "dev"]}, "'dev'.*train, val, test"),
        ({"target": [1, 1, 0]}, "gives image a target 1 for label 'benign'"),
    ],
)
def test_read_rows__what_the_task_does_not_have_is_named(tmp_path: Path, columns: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_rows(TASK, written(tmp_path, **columns))
