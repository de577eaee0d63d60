"""A comparison of encoders as a table for machines, a table for people, and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from panderm.core.tables import write_table
from panderm.studies.judging import METHODS, Judged, gap
from panderm.studies.points import save_picture

Draw = Callable[[list[Judged], Path], None]

ROWS = pa.schema(
    [
        ("arm", pa.string()),
        ("task", pa.string()),
        ("method", pa.string()),  # knn | linear
        ("balanced_accuracy", pa.float64()),
        ("low", pa.float64()),  # 95 % interval, clustered by patient
        ("high", pa.float64()),
        ("difference", pa.float64()),  # to the study's reference on the same images; null of the reference itself
        ("difference_low", pa.float64()),  # 95 % interval, paired
        ("difference_high", pa.float64()),
        ("images", pa.int64()),  # of the validation split
        ("chance", pa.float64()),
    ]
)
"""``<study>.parquet`` of a study of encoders: one row an encoder, task and probe."""


class Question(NamedTuple):
    """What a study of encoders asks and how its answer looks.

    Attributes:
        study: its name, which its files have.
        title: heading of the table.
        text: what the arms differ in, a sentence.
        reference: the arm that others are held against.
        ranked: whether the best comes first, or arms stay in their order.
        draw: writes the picture.
    """

    study: str
    title: str
    text: str
    reference: str
    ranked: bool
    draw: Draw


def write_rows(judged: list[Judged], reference: str, path: Path) -> None:
    """Write the table for machines."""
    beside = next(one for one in judged if one.name == reference)
    rows = []
    for one in judged:
        for figure in one.figures:
            apart = (math.nan,) * 3
            if one.name != reference:
                apart = gap(figure, beside.figure(figure.task, figure.method))[:3]
            known = (*figure.interval[:3], *apart, figure.images, figure.chance)
            rows.append((one.name, figure.task, figure.method, *known))
    write_table(path, pd.DataFrame(rows, columns=ROWS.names), ROWS)


def markdown(judged: list[Judged], question: Question, settings: str, notes: dict[str, str]) -> str:
    """Return the table for people.

    Args:
        judged: the encoders.
        question: of the study.
        settings: of the reference's training, in words.
        notes: what else is to be said of an arm.
    """
    tasks = judged[0].tasks
    beside = next(one for one in judged if one.name == question.reference)
    head = ["arm", "linear probe, mean", "k-NN, mean"]
    for task in tasks:
        head += [f"{task}, linear probe", f"to {question.reference}"]
    lines = [
        f"# {question.title}",
        "",
        f"{question.text} {settings}. Balanced accuracy on validation images, 95 % intervals over patients; differences "
        "are paired.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for one in sorted(judged, key=lambda one: -one.mean("linear")) if question.ranked else judged:
        cells = [f"{one.mean('linear'):.3f}", f"{one.mean('knn'):.3f}"]
        for task in tasks:
            figure = one.figure(task, "linear")
            value, low, high, _ = figure.interval
            cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
            apart = gap(figure, beside.figure(task, "linear"))
            cells.append("-" if one.name == beside.name else f"{apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f})")
        lines.append(f"| {one.name} | " + " | ".join(cells) + " |")
    guess = ", ".join(f"{task} {judged[0].figure(task, 'knn').chance:.3f}" for task in tasks)
    lines += ["", f"A guess: {guess}. `{judged[0].name}` is the weights that every run began with."]
    lines += [f"{name}: {note}." for name, note in notes.items() if note]
    lines += ["One seed each: what another seed would change is not in the intervals."]
    return "\n".join(lines) + "\n"


def draw_ranking(judged: list[Judged], path: Path) -> None:
    """Write each task's figure with its interval, and the mean, for both probes, best encoder on top."""
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
    save_picture(figure, path)


def draw_over(title: str, across: str, levels: dict[str, float]) -> Draw:
    """Return a drawer of the linear probe with its interval, one line a task over the arms' levels (log scale).

    An arm without a level, the untrained one, is a dotted line across.
    """

    def draw(judged: list[Judged], path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4.2), dpi=110, layout="constrained")
        axes = figure.subplots()
        placed = sorted((one for one in judged if one.name in levels), key=lambda one: levels[one.name])
        at = [levels[one.name] for one in placed]
        for number, task in enumerate(judged[0].tasks):
            found = [one.figure(task, "linear").interval for one in placed]
            colour = f"C{number % 10}"
            axes.plot(at, [one.value for one in found], "o-", color=colour, markersize=4, linewidth=1.5, label=task)
            axes.fill_between(at, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.12)
            for other in (one for one in judged if one.name not in levels):
                axes.axhline(other.figure(task, "linear").interval.value, color=colour, linewidth=1, linestyle=":", alpha=0.8)
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{100 * level:g} %" for level in at])
        axes.minorticks_off()
        axes.set(xlabel=across, ylabel="balanced accuracy, linear probe")
        axes.set_title(f"{title} (dotted: untrained)", loc="left")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
        save_picture(figure, path)

    return draw


def draw_differences(title: str, reference: str, columns: dict[str, str]) -> Draw:
    """Return a drawer of the linear probe's difference to the reference, arms down, tasks across.

    Args:
        title: of the picture.
        reference: name of the arm that others are held against.
        columns: what stands below each task's key, e.g. its modality.
    """

    def draw(judged: list[Judged], path: Path) -> None:
        from matplotlib.figure import Figure

        beside = next(one for one in judged if one.name == reference)
        rows, tasks = [one for one in judged if one.name != reference], judged[0].tasks
        gaps = [[gap(one.figure(task, "linear"), beside.figure(task, "linear")) for task in tasks] for one in rows]
        values = [[one.value for one in row] for row in gaps]
        figure = Figure(figsize=(2.4 + 1.3 * len(tasks), 1.6 + 0.5 * len(rows)), dpi=110, layout="constrained")
        axes = figure.subplots()
        most = max([0.05, *(abs(value) for row in values for value in row)])
        image = axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        for y, row in enumerate(gaps):
            for x, one in enumerate(row):
                sure = one.low > 0 or one.high < 0
                colour = "white" if abs(one.value) > 0.6 * most else "#222222"
                axes.text(x, y, f"{one.value:+.3f}{'*' if sure else ''}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(tasks)), [f"{task}\n{columns.get(task, '')}" for task in tasks], fontsize=8)
        axes.set_yticks(range(len(rows)), [one.name for one in rows], fontsize=8)
        axes.set_title(f"{title}: balanced accuracy to {reference}\n* the 95 % interval excludes 0", loc="left", fontsize=9)
        figure.colorbar(image, ax=axes)
        save_picture(figure, path)

    return draw
