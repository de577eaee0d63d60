"""Axes that every picture of this room starts from, and how one is saved: equal tables give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panderm.core.files import writing

MODEL, READERS, WITHOUT, WITH = "#1f5fa8", "#8a8f98", "#8a8f98", "#1f5fa8"
"""Colours: the model and answers with support are blue, people alone are grey."""


def new_axes(columns: int = 1, width: float = 5.6, height: float = 4.2, synthetic: bool = False) -> tuple[Any, list[Any]]:
    """Return a figure and its axes in a row; pictures of made-up answers say so in red."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    if synthetic:
        figure.suptitle("SYNTHETIC answers, made up by a random generator: no result", color="#b3261e", fontsize=10)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
