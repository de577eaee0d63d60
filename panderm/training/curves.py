"""How a pretraining went, as one picture: loss, gradient, learning rate, collapse signs and probe over steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panderm.core.files import writing
from panderm.training.alarms import LEAST_STD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = dict[str, Any]

_PARTS = {"loss": "all tokens", "class_token": "class token", "visible": "visible patches", "masked": "masked patches"}
_COLOURS = {"tbp": "tab:blue", "dermoscopic": "tab:orange", "clinical": "tab:green", "dermatopathology": "tab:purple"}
_POINTS = 2000  # more than the picture has pixels across
_SMOOTH = 50  # points that a modality's training curve is averaged to; a batch may hold few images of it


def draw_curves(lines: list[Line], path: Path, looks: list[Line] | None = None) -> None:
    """Write ``path`` (PNG); equal lines give equal bytes.

    Args:
        lines: of ``metrics.jsonl``.
        path: the picture.
        looks: of ``watch.jsonl``; without any, only the panels of the training itself are drawn.
    """
    from matplotlib.figure import Figure

    signs = [look for look in looks or [] if "by_modality" in look]
    probes = [look for look in looks or [] if "probe" in look]
    shown = lines[:: max(1, len(lines) // _POINTS)]
    panels: list[tuple[Callable[[Axes, Any], None], Any]]
    panels = [(_loss, shown), (_modalities, (lines, signs)), (_gradient, shown)]
    panels += [(_signs, signs), (_neighbours, signs)] if signs else []
    panels += [(_probe, probes)] if probes else []
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(13, 3.5 * rows), dpi=110, layout="constrained")
    places = figure.subplots(rows, 3, squeeze=False).flat
    for place, (draw, values) in zip(places, panels, strict=False):
        draw(place, values)
        place.set_xlabel("step")
        place.grid(alpha=0.3)
        if place.get_legend_handles_labels()[0]:
            place.legend(frameon=False, fontsize=8)
    for place in list(figure.axes)[len(panels) : 3 * rows]:
        place.set_axis_off()
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})


def _loss(place: Axes, lines: list[Line]) -> None:
    steps = [line["step"] for line in lines]
    for key, name in _PARTS.items():
        strong = key == "loss"
        values = [line[key] for line in lines]
        place.plot(steps, values, label=name, linewidth=1.8 if strong else 0.9, alpha=1 if strong else 0.7)
    place.set(ylabel="cosine distance to the teacher", title="Loss by token")
    place.set_ylim(bottom=0)


def _modalities(place: Axes, both: tuple[list[Line], list[Line]]) -> None:
    """Training loss as thin lines of window means, the loss on the fixed images as points on thick ones."""
    lines, looks = both
    for number, name in enumerate(sorted({name for line in lines for name in line.get("by_modality", {})})):
        colour = _COLOURS.get(name, f"C{number}")
        found = [(line["step"], line["by_modality"][name]) for line in lines if name in line.get("by_modality", {})]
        steps, values = (np.array([part.mean() for part in _windows(column)]) for column in zip(*found, strict=True))
        place.plot(steps, values, color=colour, linewidth=0.9, alpha=0.6, label=None if looks else name)
    for number, name in enumerate(sorted({name for look in looks for name in look["by_modality"]})):
        points = [look["step"] for look in looks], [look["by_modality"][name] for look in looks]
        place.plot(*points, marker="o", markersize=3, color=_COLOURS.get(name, f"C{number}"), label=name)
    place.set(title="Loss by modality" + (" (points: fixed images)" if looks else ""))
    place.set_ylim(bottom=0)


def _windows(values: tuple[float, ...]) -> list[np.ndarray]:
    return np.array_split(np.asarray(values, dtype=float), min(_SMOOTH, len(values)))


def _gradient(place: Axes, lines: list[Line]) -> None:
    steps = [line["step"] for line in lines]
    place.plot(steps, [line["grad_norm"] for line in lines], color="tab:red", linewidth=0.9, label="gradient norm")
    place.set(title="Gradient norm and learning rate", yscale="log")
    rate = place.twinx()
    rate.plot(steps, [line["learning_rate"] for line in lines], color="tab:gray", linewidth=1.2)
    rate.set_ylabel("learning rate (gray)", fontsize=8)
    rate.set_ylim(bottom=0)


def _signs(place: Axes, looks: list[Line]) -> None:
    steps = [look["step"] for look in looks]
    place.plot(
        steps, [look["feature_std"] for look in looks], marker="o", markersize=3, label="feature deviation, 1 = isotropic"
    )
    place.axhline(LEAST_STD, color="tab:red", linewidth=0.8, linestyle="--", label="below: collapse")
    place.set(title="Collapse signs (class token)", ylim=(0, 1.05))
    rank = place.twinx()
    rank.plot(steps, [look["effective_rank"] for look in looks], marker="o", markersize=3, color="tab:green")
    rank.set_ylabel(f"effective rank (green, at most {looks[-1]['rank_limit']})", fontsize=8)
    rank.set_ylim(bottom=0)


def _neighbours(place: Axes, looks: list[Line]) -> None:
    steps = [look["step"] for look in looks]
    for key, words in (("neighbour_within", "same modality"), ("neighbour_across", "another modality")):
        if all(look[key] is not None for look in looks):
            place.plot(steps, [look[key] for look in looks], marker="o", markersize=3, label=words)
    place.set(title="Cosine to the nearest neighbour")
    place.ticklabel_format(axis="y", useOffset=False)


def _probe(place: Axes, looks: list[Line]) -> None:
    steps = [look["step"] for look in looks]
    for task in looks[-1]["probe"]:
        place.plot(steps, [look["probe"][task] for look in looks], marker="o", markersize=3, linewidth=0.9, label=task)
    place.plot(steps, [look["probe_mean"] for look in looks], color="black", linewidth=1.8, label="mean")
    place.set(title="k-NN probe (validation images)", ylabel="balanced accuracy")
    place.set_ylim(bottom=0)
