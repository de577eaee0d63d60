"""How good an encoder's features are, quickly and without a test image: k-NN and linear probe on validation images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Interval, Statistic, cluster_bootstrap, paired_bootstrap
from panderm.evaluation.metrics import balanced_accuracy_statistic
from panderm.tasks.linear_probe import fit
from panderm.training.features import features
from panderm.training.finetune_recipe import LinearProbeRecipe
from panderm.training.probe import Labelled, labelled, nearest_neighbours, probed_tasks

Method = Literal["knn", "linear"]
METHODS: dict[Method, str] = {"knn": "k-NN", "linear": "linear probe"}
_TUNED_ON = 0.2  # share of the training groups that chooses the linear probe's penalty, so that validation images judge only


class Figure(NamedTuple):
    """Balanced accuracy of one encoder on one task.

    Attributes:
        task: its key.
        method: which probe.
        interval: with a 95 % interval over patients (or what the split keeps together).
        images: validation images judged.
        chance: of a guess.
        truth: (N,) class of each image.
        right: (N,) whether it was told.
        groups: (N,) what is drawn together.
    """

    task: str
    method: Method
    interval: Interval
    images: int
    chance: float
    truth: NDArray[np.int64]
    right: NDArray[np.bool_]
    groups: NDArray[np.object_]


class Judged(NamedTuple):
    """All figures of one encoder."""

    name: str
    figures: list[Figure]

    @property
    def tasks(self) -> list[str]:
        """The tasks judged on, in order."""
        return list(dict.fromkeys(figure.task for figure in self.figures))

    def figure(self, task: str, method: Method) -> Figure:
        """Return one figure."""
        return next(figure for figure in self.figures if (figure.task, figure.method) == (task, method))

    def mean(self, method: Method) -> float:
        """Return the mean over tasks."""
        return float(np.mean([figure.interval.value for figure in self.figures if figure.method == method]))


def judge(
    name: str, encoder: Path, splits: Path, wanted: tuple[str, ...] | None, images: int, *, data: Path, cache: Path
) -> Judged:
    """Judge an encoder on the training and validation images of tasks.

    Args:
        name: what it is called in the comparison.
        encoder: its folder.
        splits: the tasks' splits.
        wanted: which tasks; None takes all that can be probed.
        images: at most so many of each task.
        data: published datasets.
        cache: of features.

    Raises:
        InputError: a task has no split, or none can be probed.
    """
    chosen = [found for task in probed_tasks(splits, wanted) if (found := labelled(splits, task, images)) is not None]
    if not chosen:
        raise InputError(f"{splits} has no task with two classes in both its training and its validation split; deliver one")
    figures: list[Figure] = []
    for task in chosen:
        seen = features(encoder, task.frame, data, cache, what=f"{name} on {task.task}")
        figures += _figures(task, seen)
    return Judged(name, figures)


def _figures(task: Labelled, seen: NDArray[np.float32]) -> list[Figure]:
    targets = task.frame["target"].to_numpy(dtype=np.int64)
    classes, cut = int(targets.max()) + 1, task.train
    shares = nearest_neighbours(seen[:cut], targets[:cut], seen[cut:], classes)
    answers: dict[Method, NDArray[np.int64]] = {
        "knn": shares.argmax(axis=1),
        "linear": _linear(seen[:cut], targets[:cut], task.frame["group"].to_numpy()[:cut], seen[cut:], classes),
    }
    truth, groups = targets[cut:], task.frame["group"].to_numpy()[cut:]
    found = []
    for method, answered in answers.items():
        right = answered == truth
        interval = cluster_bootstrap(_statistic(right, truth), groups)
        found.append(Figure(task.task, method, interval, len(truth), task.chance, truth, right, groups))
    return found


def gap(one: Figure, other: Figure) -> Interval:
    """Return how far the first figure is above the second, of two encoders on the same task, with a paired interval."""
    return paired_bootstrap(_statistic(one.right, one.truth), _statistic(other.right, other.truth), one.groups)


def _statistic(right: NDArray[np.bool_], truth: NDArray[np.int64]) -> Statistic:
    """Return the balanced accuracy; which wrong class was told does not matter to it."""
    classes = max(2, int(truth.max()) + 1)
    return balanced_accuracy_statistic(truth, np.where(right, truth, (truth + 1) % classes), classes)


def _linear(
    train: NDArray[np.float32],
    targets: NDArray[np.int64],
    groups: NDArray[np.object_],
    val: NDArray[np.float32],
    classes: int,
) -> NDArray[np.int64]:
    """Return the classes that a linear probe answers for ``val``; its penalty is chosen on some of the training groups."""
    names = np.unique(groups.astype(str))
    held = np.random.default_rng(0).permutation(names)[: max(1, round(_TUNED_ON * len(names)))]
    inner = np.isin(groups.astype(str), held)
    recipe = LinearProbeRecipe(penalty="tuned", standardise=True)
    probe = fit(recipe, train[~inner], targets[~inner], classes, (train[inner], targets[inner]))
    answered: NDArray[np.int64] = probe.logits(val).argmax(axis=1)
    return answered
