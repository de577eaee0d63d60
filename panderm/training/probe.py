"""A k-nearest-neighbour probe: how well frozen class tokens tell a task's classes apart, without fitting anything.

It runs while an encoder is trained, so it must be quick and free of settings: images of the validation split are labelled
by the most similar images of the training split. No test image is ever read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.errors import InputError, one_of
from panderm.core.tables import SPLIT, read_table
from panderm.training.monitor import score

SPLIT_NAME = "split.parquet"
NEIGHBOURS, TEMPERATURE = 20, 0.07
"""Neighbours that vote, and exp(cosine / temperature) as their weight (Wu et al. 2018; Caron et al., DINO, 2021)."""


class Labelled(NamedTuple):
    """The probed images of one task.

    Attributes:
        task: its key.
        frame: rows of its split; training images first, then validation images.
        train: how many of them are training images.
    """

    task: str
    frame: pd.DataFrame
    train: int

    @property
    def chance(self) -> float:
        """Balanced accuracy of a guess."""
        return 1 / self.frame["target"].nunique()


def probed_tasks(splits: Path, wanted: tuple[str, ...] | None) -> list[str]:
    """Return the tasks to probe: those wanted, or every one with one label an image and two classes in both parts.

    Raises:
        InputError: a wanted task has no split.
    """
    present = sorted(path.parent.name for path in splits.glob(f"*/{SPLIT_NAME}"))
    if wanted is None:
        return present
    for task in wanted:
        if task not in present:
            hint = "run `panderm curate`, or change watch.probe_tasks"
            raise InputError(one_of(task, present or "none", "task with a split", hint))
    return list(wanted)


def labelled(splits: Path, task: str, images: int, seed: int = 0) -> Labelled | None:
    """Choose a task's images: two thirds of ``images`` of the training split, the rest of the validation split.

    Classes are drawn alike as far as they go, so that neighbours vote from equal numbers. None for a task that has fewer
    than two classes in either part (a split of folds, masks instead of labels, too few images).

    Raises:
        InputError: the split is missing or not one.
    """
    frame = read_table(splits / task / SPLIT_NAME, SPLIT)
    frame = frame[frame["label"].notna() & frame["target"].notna()].sort_values("image_id", ignore_index=True)
    parts = [frame[frame["split"] == name] for name in ("train", "val")]
    if any(part["target"].nunique() < 2 for part in parts):
        return None
    train = spread(parts[0], "target", images - images // 3, seed)
    val = spread(parts[1], "target", images // 3, seed)
    return Labelled(task, pd.concat([train, val], ignore_index=True), len(train))


def spread(frame: pd.DataFrame, column: str, count: int, seed: int) -> pd.DataFrame:
    """Return at most ``count`` rows, drawn by seed, as evenly over the values of ``column`` as they allow; in table order."""
    shuffled = frame.iloc[np.random.default_rng(seed).permutation(len(frame))]
    turn = shuffled.groupby(column).cumcount()
    chosen = shuffled.assign(_turn=turn).sort_values(["_turn", column], kind="stable").index[:count]
    return frame.loc[np.sort(chosen)]


def nearest_neighbours(
    train: NDArray[np.float32], targets: NDArray[np.int64], val: NDArray[np.float32], classes: int
) -> NDArray[np.float64]:
    """Return each class's share (M, C) of the votes for ``val`` (M, D), cast by the most similar rows of ``train`` (N, D).

    What all images have in common is taken out first; in a young encoder it is nearly everything.
    """
    mean = train.mean(axis=0, dtype=np.float64)
    ours, theirs = (_unit(part - mean) for part in (val, train))
    cosines = ours @ theirs.T
    voting = min(NEIGHBOURS, max(1, len(train) // (2 * classes)))
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :voting]
    best = np.take_along_axis(cosines, nearest, axis=1)
    weight = np.exp((best - best[:, :1]) / TEMPERATURE)
    votes = np.zeros((len(val), classes))
    for column in range(voting):
        votes[np.arange(len(val)), targets[nearest[:, column]]] += weight[:, column]
    shares: NDArray[np.float64] = votes / votes.sum(axis=1, keepdims=True)
    return shares


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def balanced_accuracy(labels: Labelled, features: NDArray[np.float32]) -> float:
    """Return the mean recall over the classes of the validation images, features (N, D) in the order of ``labels.frame``."""
    targets = labels.frame["target"].to_numpy(dtype=np.int64)
    train, val = targets[: labels.train], targets[labels.train :]
    shares = nearest_neighbours(features[: labels.train], train, features[labels.train :], int(targets.max()) + 1)
    return score("macro_recall", val, shares)
