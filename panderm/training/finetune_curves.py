"""How a task model was fitted, as one picture a model; equal lines give equal bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panderm.core.files import writing


def draw_probe(objective: Sequence[float], task: str, path: Path) -> None:
    """Write a PNG: the objective of a linear probe at each evaluation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(objective) + 1), objective, linewidth=1.5)
    axes.set(xscale="log", xlabel="evaluations of the objective", ylabel="cross-entropy + penalty")
    axes.set_title(f"Linear probe, {task}: {objective[0]:.3f} to {objective[-1]:.3f}", loc="left")
    _save(figure, axes, path)


def draw_fine_tuning(lines: list[dict[str, Any]], facts: dict[str, Any], task: str, path: Path) -> None:
    """Write a PNG: training loss and validation score by epoch, the chosen epoch marked."""
    from matplotlib.figure import Figure

    epochs = [line["step"] for line in lines]
    figure = Figure(figsize=(9, 3.2), dpi=120, layout="constrained")
    loss, score = figure.subplots(1, 2)
    loss.plot(epochs, [line["loss"] for line in lines], linewidth=1.5)
    loss.set(xlabel="epoch", ylabel="training cross-entropy")
    loss.set_title(f"Fine-tuning, {task}", loc="left")
    scored = [line for line in lines if not math.isnan(line["score"])]
    score.plot([line["step"] for line in scored], [line["score"] for line in scored], linewidth=1.5, color="tab:orange")
    score.axvline(facts["epoch"], color="tab:gray", linestyle="--", linewidth=1)
    score.set(xlabel="epoch", ylabel=str(facts["monitor"]).replace("_", " ") if scored else "not scored")
    score.set_title(f"Validation; epoch {facts['epoch']} is kept", loc="left")
    _save(figure, (loss, score), path)


def _save(figure: Any, axes: Any, path: Path) -> None:
    for one in axes if isinstance(axes, tuple) else (axes,):
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
