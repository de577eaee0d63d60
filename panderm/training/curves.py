"""Loss and learning rate of a run as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panderm.core.files import writing

_PARTS = {"loss": "all tokens", "class_token": "class token", "visible": "visible patches", "masked": "masked patches"}
_POINTS = 2000  # more than the picture has pixels across


def draw_curves(lines: list[dict[str, Any]], path: Path) -> None:
    """Write ``path`` (PNG): cosine distance by part, and the learning rate, over steps; equal lines give equal bytes."""
    from matplotlib.figure import Figure

    shown = lines[:: max(1, len(lines) // _POINTS)]
    steps = [line["step"] for line in shown]
    figure = Figure(figsize=(9, 3.4), dpi=120, layout="constrained")
    loss, rate = figure.subplots(1, 2, width_ratios=(2, 1))
    for key, name in _PARTS.items():
        strong = key == "loss"
        loss.plot(
            steps, [line[key] for line in shown], label=name, linewidth=1.8 if strong else 0.9, alpha=1 if strong else 0.7
        )
    loss.set(xlabel="step", ylabel="cosine distance to the teacher", title="Loss")
    loss.set_ylim(bottom=0)
    loss.grid(alpha=0.3)
    loss.legend(frameon=False)
    rate.plot(steps, [line["learning_rate"] for line in shown], color="tab:gray")
    rate.set(xlabel="step", title="Learning rate")
    rate.grid(alpha=0.3)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
