"""Four pictures of a model on its test split: confusion, ROC, precision and recall, calibration. Equal tables, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panderm.core.files import writing
from panderm.evaluation.bootstrap import auroc
from panderm.evaluation.metrics import BINS, aupr_statistic, calibration_bins, calibration_statistic, confusion
from panderm.evaluation.tables import probabilities_of

NAMES = ("confusion", "roc", "pr", "calibration")
_SIDE = 5.2  # inches
_CROWDED = 10  # from so many classes on, cells hold one line
_BESIDE = {"roc": 10, "pr": 3}  # from so many classes on, the legend stands beside the axes


def draw_all(folder: Path, predictions: pd.DataFrame, classes: tuple[str, ...], title: str) -> None:
    """Write ``confusion.png``, ``roc.png``, ``pr.png`` and ``calibration.png``.

    Args:
        folder: where to.
        predictions: one row a test image.
        classes: labels in index order.
        title: first words of each picture's title, e.g. the task.
    """
    for name, draw in zip(NAMES, (_confusion, _roc, _pr, _calibration), strict=True):
        figure, axes = _axes(wide=len(classes) >= _BESIDE.get(name, len(classes) + 1))
        axes.set_title(f"{title}: {draw(axes, predictions, classes)}", loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        with writing(folder / f"{name}.png") as aside:
            figure.savefig(aside, format="png", metadata={"Software": None})


def _axes(wide: bool) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIDE * (1.5 if wide else 1.15), _SIDE), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _confusion(axes: Any, predictions: pd.DataFrame, classes: tuple[str, ...]) -> str:
    counts = confusion(predictions)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if share[row, column] > 0.55 else "#222222"
            text = f"{counts[row, column]}\n{share[row, column]:.0%}" if len(classes) < _CROWDED else str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9 if len(classes) < 8 else 7)
    axes.set_xticks(range(len(classes)), classes, rotation=45 if len(classes) > 3 else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")
    return f"{int(counts.trace())} of {int(counts.sum())} images right"


def _shown(predictions: pd.DataFrame, classes: tuple[str, ...]) -> list[tuple[str, Any, Any]]:
    """Return (name, is it, score) of each class to draw: the positive one of two, else every class that has an image."""
    target, scores = predictions["target"].to_numpy(), probabilities_of(predictions)
    chosen = [1] if len(classes) == 2 else range(len(classes))
    return [(classes[n], target == n, scores[:, n]) for n in chosen if 0 < (target == n).sum() < len(target)]


def _roc(axes: Any, predictions: pd.DataFrame, classes: tuple[str, ...]) -> str:
    from sklearn.metrics import roc_curve

    for name, mine, score in _shown(predictions, classes):
        x, y, _ = roc_curve(mine, score)
        axes.plot(x, y, linewidth=1.6, label=f"{name}  {auroc(mine, score):.3f}  (n={int(mine.sum())})")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    _legend(axes, len(classes) >= _BESIDE["roc"], "lower right")
    return "ROC, area by class"


def _pr(axes: Any, predictions: pd.DataFrame, classes: tuple[str, ...]) -> str:
    from sklearn.metrics import precision_recall_curve

    for name, mine, score in _shown(predictions, classes):
        precision, recall, _ = precision_recall_curve(mine, score)
        area = aupr_statistic(mine, score)(np.ones(len(mine)))
        line = axes.step(recall, precision, where="post", linewidth=1.6, label=f"{name}  {area:.3f}  (share {mine.mean():.2f})")
        axes.axhline(mine.mean(), color=line[0].get_color(), linestyle=":", linewidth=0.8)
    axes.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    _legend(axes, len(classes) >= _BESIDE["pr"], "lower left")
    return "precision and recall, average precision"


def _legend(axes: Any, beside: bool, place: str) -> None:
    if beside:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        axes.legend(frameon=False, fontsize=9, loc=place)


def _calibration(axes: Any, predictions: pd.DataFrame, classes: tuple[str, ...]) -> str:  # noqa: ARG001 - as its siblings
    scores, target = probabilities_of(predictions), predictions["target"].to_numpy(dtype=np.intp)
    place, right = calibration_bins(scores), scores.argmax(axis=1) == target
    count = np.bincount(place, minlength=BINS)
    filled = count > 0
    accuracy = np.bincount(place, weights=right, minlength=BINS)[filled] / count[filled]
    confidence = np.bincount(place, weights=scores.max(axis=1), minlength=BINS)[filled] / count[filled]
    middle = (np.arange(BINS) + 0.5) / BINS
    axes.bar(middle, count / count.sum(), width=0.9 / BINS, color="#d9dee7", label="share of images")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", linewidth=1)
    axes.plot(confidence, accuracy, marker="o", linewidth=1.6, label="accuracy")
    axes.set(xlabel="probability of the predicted class", ylabel="accuracy", xlim=(0, 1.01), ylim=(0, 1.03))
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return f"calibration error {calibration_statistic(target, scores)(np.ones(len(target))):.3f}"
