"""Figures on a predictions table, each as a statistic of row weights, so that every one of them gets a clustered interval.

Definitions are scikit-learn's where it has one. A mean over classes is taken over the classes that the (re)drawn rows have;
``macro_recall`` is over all that are true or predicted, as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from panderm.evaluation.bootstrap import Statistic, Weight, auroc_statistic, weighted_f1_statistic
from panderm.evaluation.intervals import SHARE, Bounds
from panderm.evaluation.stakes import Staked, Stakes, mean_of, on_rows, resting_on
from panderm.evaluation.tables import probabilities_of

Targets = NDArray[np.intp]
Scores = NDArray[np.float64]
BINS = 15
"""Bins of the calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017)."""

PAIRED_CLASSES = 20
"""Most classes for which ``auroc_ovo`` gets an interval: each of 1,000 replicates takes a figure for every ordered pair of
classes (380 of 20 classes, 16,256 of 128: an hour)."""

TOP = 3
"""How many of the likeliest classes the top-k accuracy looks at (paper, reader study 3: top-1 and top-3 of 128 conditions)."""

TOP_CLASSES = 20
"""Most classes without a top-3 accuracy; our choice. Guessing is right in 3 of C: 15 % of 20 classes, 43 % of 7, where the
three likeliest are most of what there is and the figure is high whatever the model."""


def statistics(predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return the overall statistics of a predictions table by name.

    For two classes, ``auroc``, ``aupr`` and ``brier`` are those of the second, the positive one; for more, AUROC and AUPR
    are means of one class against the rest, ``auroc_ovo`` is the mean over pairs (the public code's), and the Brier score
    is summed over the classes. ``kappa`` has quadratic weights in the order of the classes (the public code reports it).
    More than :data:`TOP_CLASSES` classes have ``top_3_accuracy`` beside ``accuracy``, which is top-1.
    """
    target, scores = predictions["target"].to_numpy(dtype=np.intp), probabilities_of(predictions)
    classes, predicted = scores.shape[1], scores.argmax(axis=1)
    found = {
        "accuracy": mean_statistic(predicted == target),
        "balanced_accuracy": balanced_accuracy_statistic(target, predicted, classes),
        "macro_recall": macro_recall_statistic(target, predicted, classes),
        "weighted_f1": weighted_f1_statistic(target, predicted, classes),
        "kappa": kappa_statistic(target, predicted, classes),
        "auroc": _macro(auroc_statistic, target, scores),
        "aupr": _macro(aupr_statistic, target, scores),
        "brier": mean_statistic(_brier(target, scores), (0.0, 1.0 if classes == 2 else 2.0)),
        "calibration_error": calibration_statistic(target, scores),
    }
    if classes > 2:
        found["auroc_ovo"] = _one_versus_one(target, scores)
    if classes > TOP_CLASSES:
        found[f"top_{TOP}_accuracy"] = top_k_statistic(target, scores, TOP)
    return found


def primary_of_classes(metric: str, predictions: pd.DataFrame) -> Statistic:
    """Return a classifier's primary metric: AUROC of the second of two classes, or weighted F1 of the likeliest."""
    target, scores = predictions["target"].to_numpy(dtype=np.intp), probabilities_of(predictions)
    if metric == "auroc":
        assert scores.shape[1] == 2, f"AUROC is the metric of two classes, not of {scores.shape[1]}"
        return auroc_statistic(target, scores[:, 1])
    assert metric == "weighted_f1", f"{metric} is not a classifier's metric"
    return weighted_f1_statistic(target, scores.argmax(axis=1), scores.shape[1])


def class_statistics(predictions: pd.DataFrame, index: int) -> dict[str, Statistic]:
    """Return sensitivity, specificity and AUROC of one class against the rest."""
    target, scores = predictions["target"].to_numpy(dtype=np.intp), probabilities_of(predictions)
    mine, said = target == index, scores.argmax(axis=1) == index
    return {
        "sensitivity": _share(said, mine),
        "specificity": _share(~said, ~mine),
        "auroc": auroc_statistic(mine, scores[:, index]),
    }


def confusion(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Return counts (C, C): rows are true classes, columns predicted ones."""
    classes = probabilities_of(predictions).shape[1]
    cells = predictions["target"].to_numpy(dtype=np.intp) * classes + predictions["predicted"].to_numpy(dtype=np.intp)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def mean_statistic(values: ArrayLike, bounds: Bounds = SHARE) -> Statistic:
    """Return the mean of a column, one value a case (a Dice, a Jaccard, right or wrong), as a statistic of row weights."""
    column = np.asarray(values, dtype=np.float64)

    def statistic(weight: Weight) -> float:
        return float(weight @ column / weight.sum()) if weight.sum() else float("nan")

    return Staked(statistic, _on_all(column), bounds)


def _on_all(rows: NDArray[np.generic]) -> Stakes:
    return resting_on((1.0, np.ones(len(rows), dtype=bool)))


def top_k_statistic(target: ArrayLike, scores: Scores, k: int) -> Statistic:
    """Return how often the true class is among the ``k`` likeliest, the first of equals first; scores are (N, C)."""
    likeliest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return mean_statistic((likeliest == np.asarray(target)[:, None]).any(axis=1))


def sensitivity_at(target: ArrayLike, score: ArrayLike, threshold: float) -> Statistic:
    """Return the share of positives whose score is at ``threshold`` or above; NaN without a positive row."""
    return _share(np.asarray(score) >= threshold, np.asarray(target) == 1)


def specificity_at(target: ArrayLike, score: ArrayLike, threshold: float) -> Statistic:
    """Return the share of negatives whose score is below ``threshold``; NaN without a negative row."""
    return _share(np.asarray(score) < threshold, np.asarray(target) != 1)


def balanced_accuracy_statistic(target: ArrayLike, predicted: ArrayLike, classes: int) -> Statistic:
    """Return the mean recall over the classes that are true somewhere."""
    return _of_confusion(target, predicted, classes, _balanced_accuracy, _class_by_class(target))


def macro_recall_statistic(target: ArrayLike, predicted: ArrayLike, classes: int) -> Statistic:
    """Return the mean recall over the classes that are true or predicted somewhere."""
    return _of_confusion(target, predicted, classes, _macro_recall, _class_by_class(target))


def kappa_statistic(target: ArrayLike, predicted: ArrayLike, classes: int) -> Statistic:
    """Return Cohen's kappa with quadratic weights in the order of the classes."""
    return _of_confusion(target, predicted, classes, _kappa, _farthest(target, classes))


def _class_by_class(target: ArrayLike) -> Stakes:
    """A mean over classes: each has the same share of it, however rare."""
    of = np.asarray(target, dtype=np.intp)
    present = np.unique(of)
    return resting_on(*((1 / len(present), of == one) for one in present))


def _farthest(target: ArrayLike, classes: int) -> Stakes:
    """A kappa: a class costs what the farthest other answers to all of its rows would, held against those by chance."""
    of = np.asarray(target, dtype=np.intp)
    distance, counts = _distances(classes), np.bincount(of, minlength=classes)
    by_chance = max(float(counts @ distance @ counts), 1.0)
    costs = counts * distance.max(axis=1, initial=0) * len(of) / by_chance
    return resting_on(*((float(costs[one]), of == one) for one in np.unique(of)))


def _share(hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    def statistic(weight: Weight) -> float:
        total = weight[among].sum()
        return float(weight[among & hit].sum() / total) if total else float("nan")

    return Staked(statistic, resting_on((1.0, among)))


def _of_confusion(
    target: ArrayLike, predicted: ArrayLike, classes: int, figure: Callable[[Scores], float], stakes: Stakes
) -> Statistic:
    cells = np.asarray(target, dtype=np.intp) * classes + np.asarray(predicted, dtype=np.intp)

    def statistic(weight: Weight) -> float:
        table = np.bincount(cells, weights=weight, minlength=classes**2).astype(np.float64)
        return figure(table.reshape(classes, classes))

    return Staked(statistic, stakes)


def _balanced_accuracy(table: Scores) -> float:
    support = table.sum(axis=1)
    true = support > 0
    return float((table.diagonal()[true] / support[true]).mean()) if true.any() else float("nan")


def _macro_recall(table: Scores) -> float:
    support = table.sum(axis=1)
    seen = (support + table.sum(axis=0)) > 0
    recall = np.divide(table.diagonal(), support, out=np.zeros(len(table)), where=support > 0)
    return float(recall[seen].mean()) if seen.any() else float("nan")


def _distances(classes: int) -> NDArray[np.intp]:
    return np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2


def _kappa(table: Scores) -> float:
    distance = _distances(len(table))
    total = table.sum()
    by_chance = float((distance * np.outer(table.sum(axis=1), table.sum(axis=0))).sum())
    return 1 - float((distance * table).sum()) * float(total) / by_chance if by_chance else float("nan")


def _macro(figure: Callable[[NDArray[np.bool_], Scores], Statistic], target: Targets, scores: Scores) -> Statistic:
    """The positive class's figure for two classes, else the mean of one against the rest over the classes present."""
    if scores.shape[1] == 2:
        return figure(target == 1, scores[:, 1])
    return mean_of([figure(target == index, scores[:, index]) for index in range(scores.shape[1])])


def _one_versus_one(target: Targets, scores: Scores) -> Statistic:
    """AUROC of each ordered pair of classes on their rows alone, averaged (Hand and Till, 2001)."""
    parts: list[Statistic] = []
    for one in range(scores.shape[1]):
        for other in range(scores.shape[1]):
            rows = np.flatnonzero((target == one) | (target == other))
            if one != other and len(rows):
                parts.append(on_rows(auroc_statistic(target[rows] == one, scores[rows, one]), rows))
    return mean_of(parts)


def aupr_statistic(target: NDArray[np.bool_], score: Scores) -> Statistic:
    """Return the average precision as a statistic of the row weights; NaN without a positive row."""
    _, rank = np.unique(-score, return_inverse=True)
    levels = int(rank.max(initial=-1)) + 1

    def statistic(weight: Weight) -> float:
        right = np.cumsum(np.bincount(rank, weights=weight * target, minlength=levels))
        named = np.cumsum(np.bincount(rank, weights=weight, minlength=levels))
        if not len(right) or right[-1] == 0 or right[-1] == named[-1]:
            return float("nan")
        precision = np.divide(right, named, out=np.zeros(levels), where=named > 0)
        return float(np.diff(right, prepend=0.0) @ precision / right[-1])

    # One positive named last costs 1 / P; one negative named first makes the precision 1/2, 2/3, .., P / (P + 1).
    positives = int(target.sum())
    first = float((1 / np.arange(2, positives + 2)).mean()) if positives else 0.0
    return Staked(statistic, resting_on((1.0, target), (first * (len(target) - positives), ~target)))


def _brier(target: Targets, scores: Scores) -> Scores:
    squared = (scores - np.eye(scores.shape[1])[target]) ** 2
    return squared[:, 1] if scores.shape[1] == 2 else squared.sum(axis=1)


def calibration_bins(scores: Scores, bins: int = BINS) -> Targets:
    """Return the bin (0 .. bins - 1) of each row's largest probability; bins are equally wide over 0..1."""
    place: Targets = np.minimum((scores.max(axis=1) * bins).astype(np.intp), bins - 1)
    return place


def calibration_statistic(target: Targets, scores: Scores, bins: int = BINS) -> Statistic:
    """Return the expected calibration error of the likeliest class: |accuracy - confidence| averaged over bins."""
    place, confidence = calibration_bins(scores, bins), scores.max(axis=1)
    gap = (scores.argmax(axis=1) == target) - confidence

    def statistic(weight: Weight) -> float:
        total = weight.sum()
        return float(np.abs(np.bincount(place, weights=weight * gap, minlength=bins)).sum() / total) if total else float("nan")

    return Staked(statistic, _on_all(gap))
