"""A comparison of encoders as a table for machines, a table for people, and a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from panderm.core.files import writing
from panderm.core.tables import write_table
from panderm.studies.judging import METHODS, Judged

ROWS = pa.schema(
    [
        ("teacher", pa.string()),
        ("task", pa.string()),
        ("method", pa.string()),  # knn | linear
        ("balanced_accuracy", pa.float64()),
        ("low", pa.float64()),  # 95 % interval, clustered by patient
        ("high", pa.float64()),
        ("images", pa.int64()),  # of the validation split
        ("chance", pa.float64()),
    ]
)
"""``teachers.parquet``: one row an encoder, task and probe."""


def write_rows(judged: list[Judged], path: Path) -> None:
    """Write the table for machines."""
    rows = [
        (one.name, figure.task, figure.method, *figure.interval[:3], figure.images, figure.chance)
        for one in judged
        for figure in one.figures
    ]
    write_table(path, pd.DataFrame(rows, columns=ROWS.names), ROWS)


def markdown(judged: list[Judged], notes: dict[str, str], preset: str, epochs: int) -> str:
    """Return the table for people, best mean of the linear probe first."""
    tasks = judged[0].tasks
    head = ["teacher", "linear probe, mean", "k-NN, mean", *(f"{task}, linear probe" for task in tasks)]
    lines = [
        "# Teachers compared",
        "",
        f"Preset `{preset}`, {epochs} epochs each, the same corpus and settings. Balanced accuracy on validation images, 95 % "
        "intervals over patients.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for one in sorted(judged, key=lambda one: -one.mean("linear")):
        cells = [f"{one.mean('linear'):.3f}", f"{one.mean('knn'):.3f}"]
        for task in tasks:
            value, low, high, _ = one.figure(task, "linear").interval
            cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"| {one.name} | " + " | ".join(cells) + " |")
    guess = ", ".join(f"{task} {judged[0].figure(task, 'knn').chance:.3f}" for task in tasks)
    lines += ["", f"A guess: {guess}. `untrained` is the weights that every run began with."]
    lines += [f"{name}: {note}." for name, note in notes.items() if note.startswith("random")]
    if len(judged) > 2:
        lines += ["One seed each: intervals that overlap are no ranking."]
    return "\n".join(lines) + "\n"


def draw(judged: list[Judged], path: Path) -> None:
    """Write a picture (PNG): each task's figure with its interval, and the mean, for both probes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.4 + 0.55 * len(judged)), dpi=110, layout="constrained")
    places = figure.subplots(1, 2, sharey=True)
    order = sorted(judged, key=lambda one: one.mean("linear"))
    for place, (method, words) in zip(places, METHODS.items(), strict=True):
        for number, task in enumerate(judged[0].tasks):
            shift = 0.12 * (number - (len(judged[0].tasks) - 1) / 2)
            found = [one.figure(task, method).interval for one in order]
            values = [one.value for one in found]
            around = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
            heights = [row + shift for row in range(len(order))]
            place.errorbar(values, heights, xerr=around, fmt="o", markersize=4, linewidth=1, label=task, alpha=0.8)
        means = [one.mean(method) for one in order]
        place.plot(means, range(len(order)), "D", color="black", markersize=6, label="mean")
        place.set(title=words, xlabel="balanced accuracy, validation images", yticks=range(len(order)))
        place.set_yticklabels([one.name for one in order])
        place.grid(alpha=0.3, axis="x")
    places[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
