"""What chooses the epoch: one figure on the validation split, larger is better."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from panderm.training.finetune_recipe import Monitor

Figure = Literal["auroc", "accuracy", "macro_recall"]


def monitored(monitor: Monitor, classes: int, targets: NDArray[np.int64]) -> Figure | None:
    """Return the figure to choose by: AUROC for two classes, else accuracy, unless another is named.

    Args:
        monitor: the recipe's choice.
        classes: number of classes of the task.
        targets: of the validation split; None is returned where it cannot be scored (empty, or AUROC with one class).
    """
    figure: Figure = monitor if monitor != "auto" else ("auroc" if classes == 2 else "accuracy")
    present = len(np.unique(targets))
    return None if present < (2 if figure == "auroc" else 1) else figure


def score(figure: Figure, targets: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the figure; an AUROC of several classes is the mean of one-vs-rest over the classes present.

    Args:
        figure: what to compute.
        targets: class indices, (N,).
        probabilities: (N, C).
    """
    present = np.unique(targets)
    predicted = probabilities.argmax(axis=1)
    if figure == "accuracy":
        return float((predicted == targets).mean())
    if figure == "macro_recall":
        return float(np.mean([(predicted[targets == index] == index).mean() for index in present]))
    from sklearn.metrics import roc_auc_score

    columns = [probabilities.shape[1] - 1] if probabilities.shape[1] == 2 else list(present)
    return float(np.mean([roc_auc_score(targets == index, probabilities[:, index]) for index in columns]))


def best_epoch(lines: list[dict[str, Any]]) -> int:
    """Return the epoch (1-based) with the largest score, the first of equals; the last where nothing was scored."""
    scored = [line for line in lines if not math.isnan(line["score"])]
    chosen = max(scored, key=lambda line: line["score"]) if scored else lines[-1]
    return int(chosen["step"])
