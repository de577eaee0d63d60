"""Pictures of a screening: what each arm finds and costs, how far lesions stand out, what the trees go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.files import writing

_COLOURS = {"union": "#333333", "risk": "#1b6ca8", "duckling": "#e0a030", "trees": "#4c9a5f"}
_MALIGNANT, _OTHER = "#c8553d", "#9aa5b1"
_SHOWN = 16  # measurements in the picture of importance


def draw_arms(path: Path, counts: dict[str, Any], title: str) -> None:
    """Write sensitivity and lesions recommended of each arm and of their union.

    Args:
        path: the PNG.
        counts: ``lesions``, ``malignant`` and by arm ``found`` and ``recommended``.
        title: first words of the picture's title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(counts["arms"])[::-1]
    for row, name in enumerate(names):
        arm, colour = counts["arms"][name], _COLOURS[name]
        share = arm["found"] / counts["malignant"] if counts["malignant"] else 0.0
        left.barh(row, share, color=colour, height=0.6)
        left.text(share + 0.02, row, f"{arm['found']} of {counts['malignant']}", va="center", fontsize=9)
        right.barh(row, arm["recommended"], color=colour, height=0.6)
        of_all = arm["recommended"] / counts["lesions"]
        right.text(arm["recommended"], row, f" {arm['recommended']} ({of_all:.0%})", va="center", fontsize=9)
    left.set(xlabel="malignant lesions found (sensitivity)", xlim=(0, 1.25))
    left.set_xticks([0, 0.25, 0.5, 0.75, 1])
    right.set(xlabel=f"lesions recommended of {counts['lesions']}", xlim=(0, counts["lesions"] * 1.2))
    left.set_yticks(range(len(names)), names)
    right.set_yticks(range(len(names)), [""] * len(names))
    _save(figure, (left, right), path, f"{title}: {counts['patients']} patients")


def draw_ducklings(path: Path, predictions: pd.DataFrame, title: str) -> None:
    """Write each lesion's distance to its patient's mean, in units of the fence; patients without a fence are left out."""
    from matplotlib.figure import Figure

    known = predictions[predictions["fence"] > 0]
    place = known.assign(ratio=known["distance"] / known["fence"])
    order = place.groupby("patient")["ratio"].max().sort_values(kind="stable").index
    column = place["patient"].map({name: index for index, name in enumerate(order)}).to_numpy()
    figure = Figure(figsize=(8, 3), dpi=120, layout="constrained")
    axes = figure.subplots()
    for value, colour, size, name in ((0, _OTHER, 9, "others"), (1, _MALIGNANT, 22, "malignant")):
        mine = (place["target"] == value).to_numpy()
        axes.scatter(column[mine], place["ratio"].to_numpy()[mine], s=size, color=colour, label=name, linewidths=0)
    axes.axhline(1, color="#333333", linestyle="--", linewidth=1)
    axes.set(xlabel="patients, by their oddest lesion", ylabel="distance / fence", ylim=(0, None))
    axes.set_xticks([])
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    _save(figure, (axes,), path, f"{title}: ugly ducklings lie above the line")


def draw_importance(path: Path, shares: NDArray[np.float64], values: NDArray[np.float64], names: list[str], title: str) -> None:
    """Write SHAP values of the most telling measurements, one dot a lesion, coloured by the measurement's rank.

    Args:
        path: the PNG.
        shares: what each measurement adds to each lesion's probability (N, F).
        values: the measurements (N, F); NaN where a column has no order, drawn grey.
        names: of the measurements.
        title: first words of the picture's title.
    """
    from matplotlib.figure import Figure

    weight = np.abs(shares).mean(axis=0)
    order = np.argsort(-weight, kind="stable")[:_SHOWN][::-1]
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(order)), dpi=120, layout="constrained")
    axes = figure.subplots()
    for row, index in enumerate(order):
        rank = pd.Series(values[:, index]).rank(pct=True).to_numpy()
        known = np.isfinite(rank)
        height = row + _spread(shares[:, index])
        axes.scatter(shares[~known, index], height[~known], s=6, color=_OTHER, linewidths=0)
        drawn = axes.scatter(
            shares[known, index], height[known], s=6, c=rank[known], cmap="coolwarm", vmin=0, vmax=1, linewidths=0
        )
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(order)), [f"{names[index]}  {weight[index]:.3f}" for index in order], fontsize=8)
    axes.set(xlabel="SHAP value: added to the probability of malignancy", ylim=(-0.7, len(order) - 0.3))
    bar = figure.colorbar(drawn, ax=axes, ticks=[0, 1], shrink=0.5, aspect=20)
    bar.ax.set_yticklabels(["low", "high"], fontsize=8)
    _save(figure, (axes,), path, f"{title}: what the trees go by, {len(shares)} lesions")


def _spread(values: NDArray[np.float64], bins: int = 60, half: float = 0.38) -> NDArray[np.float64]:
    """Return how far each dot moves off its line: those of a bin side by side, so that the width shows how many they are."""
    span = np.ptp(values)
    place = np.minimum(((values - values.min()) / span * bins).astype(int), bins - 1) if span else np.zeros(len(values), int)
    most = np.bincount(place).max()
    moved = np.zeros(len(values))
    for one in np.unique(place):
        mine = np.flatnonzero(place == one)
        side = np.arange(len(mine)) - (len(mine) - 1) / 2
        moved[mine] = side * (2 * half / max(most, 8))
    return moved


def _save(figure: Any, all_axes: tuple[Any, ...], path: Path, title: str) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_title(title, loc="left", fontsize=10)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
