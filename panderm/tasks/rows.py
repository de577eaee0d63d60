"""A task's images with their split, checked before anything is fitted or judged on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from panderm.catalog import Benchmark
from panderm.core.errors import InputError, one_of
from panderm.core.files import sha256_file
from panderm.core.tables import SPLIT, read_table

SPLIT_NAME = "split.parquet"


class Rows(NamedTuple):
    """A task's labelled images.

    Attributes:
        frame: ``split.parquet``, sorted by image_id, with a fresh index.
        sha256: of the file's bytes; what models and reports are bound to.
    """

    frame: pd.DataFrame
    sha256: str

    def part(self, name: str) -> pd.DataFrame:
        """Return the rows of ``train``, ``val`` or ``test``."""
        return self.frame[self.frame["split"] == name]


def read_rows(task: Benchmark, split: Path) -> Rows:
    """Read and check a task's split.

    Raises:
        InputError: the split is missing, or holds a label, target or split that the task does not have, or a group in two
            splits or folds.
    """
    path = split / SPLIT_NAME
    frame = read_table(path, SPLIT).sort_values("image_id", ignore_index=True)
    for column, allowed in (("label", task.classes), ("split", ("train", "val", "test"))):
        strange = frame[~frame[column].isin(allowed)]
        if len(strange):
            first = strange.iloc[0]
            hint = f"image {first['image_id']} of {path}; run `panderm curate` again"
            raise InputError(one_of(str(first[column]), allowed, f"{column} for {task.key}", hint))
    wrong = frame[frame["target"] != frame["label"].map({name: index for index, name in enumerate(task.classes)})]
    if len(wrong):
        raise InputError(
            f"{path} gives image {wrong['image_id'].iloc[0]} target {wrong['target'].iloc[0]} for label "
            f"{wrong['label'].iloc[0]!r}, but the catalogue's order is {', '.join(task.classes)}; run `panderm curate` again"
        )
    _check_groups(path, frame)
    return Rows(frame, sha256_file(path))


def _check_groups(path: Path, frame: pd.DataFrame) -> None:
    for column in ("split", "fold"):
        sides = frame.groupby("group")[column].nunique()
        if (sides > 1).any():
            group = str(sides.index[sides > 1][0])
            images = ", ".join(frame.loc[frame["group"] == group, "image_id"].head(2))
            raise InputError(
                f"{path} has group {group!r} in more than one {column} (images {images}); run `panderm curate` again"
            )


def check_fittable(task: Benchmark, rows: Rows) -> None:
    """Refuse a training split that nothing can be learnt from.

    Raises:
        InputError: it has fewer than two classes.
    """
    check_two_classes(task, rows.part("train"), "train")


def check_two_classes(task: Benchmark, frame: pd.DataFrame, name: str) -> None:
    """Refuse rows without at least two classes.

    Raises:
        InputError: they have fewer.
    """
    present = sorted(frame["label"].unique())
    if len(present) < 2:
        what = f"only {present[0]!r} in {len(frame)} images" if present else "no image"
        raise InputError(
            f"the {name} split of {task.key} has {what}, but two classes are needed; deliver more labelled images and curate"
        )
