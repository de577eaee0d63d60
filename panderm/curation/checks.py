"""Whether anything can be learnt and measured on a split or on folds, before anybody pays for finding out."""

from __future__ import annotations

import pandas as pd

from panderm.core.errors import InputError
from panderm.core.tables import MOVED, empty
from panderm.curation.moved import moved_sentences
from panderm.curation.splits import SPLITS, fold_names


def check_split(
    task: str, split: pd.Series, label: pd.Series, classes: tuple[str, ...], moved: pd.DataFrame | None = None
) -> list[str]:
    """Return what a reader of the results has to know: classes that a split lacks.

    Args:
        task: the task's key.
        split: each image's split.
        label: each image's label.
        classes: the labels that every split should have.
        moved: images of groups that left a shipped split (:func:`panderm.curation.moved.moved_table`).

    Raises:
        InputError: training or test split is empty or has a single class (of several), so that nothing can be learnt or
            measured.
    """
    for name in ("train", "test"):
        present = sorted(label[split == name].unique())
        if len(present) < min(2, len(classes)):
            what = f"only {present[0]!r}" if present else "no image"
            raise InputError(f"{task}: the {name} split has {what}{_why(name, empty(MOVED) if moved is None else moved)}")
    lacking = {name: [c for c in classes if c not in set(label[split == name])] for name in SPLITS}
    return [f"the {name} split has no image of: {_some(missing)}" for name, missing in lacking.items() if missing]


def _why(name: str, moved: pd.DataFrame) -> str:
    """Return what to do about a split with too little in it, and who left it."""
    left = moved[(moved["shipped"] == name) & (moved["split"] != name)]
    if left.empty:
        return "; at least two classes with two patients or lesions each are needed, deliver more labelled images"
    first = moved_sentences(moved[moved["group"] == left["group"].iloc[0]])[0]
    return (
        f", since {len(left)} images that are listed there belong to patients, lesions or pictures of another split too "
        f"({first}); mend the splits in the delivery"
    )


def check_folds(task: str, fold: pd.Series, label: pd.Series, classes: tuple[str, ...], folds: int) -> list[str]:
    """Return what a reader of the results has to know: classes that a fold lacks, so that it has no figure of its own.

    Args:
        task: the task's key.
        fold: each image's fold, 0 .. folds - 1.
        label: each image's label.
        classes: the labels that every fold should have.
        folds: how many.

    Raises:
        InputError: what is trained on when a fold is tested has a single class (of several).
    """
    for tested in range(folds):
        names = fold_names(fold.to_frame("fold"), tested, folds)
        present = sorted(label[names == "train"].unique())
        if len(present) < min(2, len(classes)):
            seen = f"only {present[0]!r}" if present else "no image"
            raise InputError(
                f"{task}: fold {tested + 1} of {folds} would be tested by a model trained on {seen}; at least two classes are "
                f"needed beside that fold and the next one, deliver patients or lesions of {_others(classes, present)}"
            )
    lacking = [[name for name in classes if name not in set(label[fold == number])] for number in range(folds)]
    return [f"fold {number} has no image of: {_some(missing)}" for number, missing in enumerate(lacking, start=1) if missing]


def _others(classes: tuple[str, ...], present: list[str]) -> str:
    return _some([name for name in classes if name not in present])


def _some(names: list[str]) -> str:
    """Return names in a line; of more than eight the first and how many others."""
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:8])} and {len(names) - 8} others"
