"""Pictures of studies: lines with bands over a level, and intervals one below the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from panderm.studies.points import Point, save_picture

Draw = Callable[[list[Point], Path], None]


def line_chart(title: str, across: str, *, single: tuple[str, ...] = (), log: bool = False) -> Draw:
    """Return a drawer of one line with its band an arm; points of the arms ``single`` are drawn as dots."""

    def draw(points: list[Point], path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
        axes = figure.subplots()
        for arm in dict.fromkeys(point.arm for point in points):
            mine = [point for point in points if point.arm == arm and not math.isnan(point.value)]
            levels, values = [point.level for point in mine], [point.value for point in mine]
            if arm in single:
                axes.plot(levels, values, ".", color="#8a96a3", markersize=5, label=arm)
                continue
            (line,) = axes.plot(levels, values, "o-", markersize=4, linewidth=1.5, label=arm)
            banded = [point for point in mine if not math.isnan(point.low)]
            lows, highs = [point.low for point in banded], [point.high for point in banded]
            axes.fill_between([point.level for point in banded], lows, highs, alpha=0.15, color=line.get_color())
        if log:
            axes.set_xscale("log")
            ticks = sorted({point.level for point in points})
            axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
            axes.minorticks_off()
        axes.set(xlabel=across, ylabel=points[0].metric.replace("_", " "))
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
        save_picture(figure, path)

    return draw


def forest_chart(title: str) -> Draw:
    """Return a drawer of each point with its interval, arms one below the other and told apart by colour."""

    def draw(points: list[Point], path: Path) -> None:
        from matplotlib.figure import Figure

        shown = [point for point in points if not math.isnan(point.value)]
        figure = Figure(figsize=(7.5, 1.2 + 0.3 * max(1, len(shown))), dpi=120, layout="constrained")
        axes = figure.subplots()
        arms = list(dict.fromkeys(point.arm for point in shown))
        for height, point in enumerate(reversed(shown)):
            colour = f"C{arms.index(point.arm) % 10}"
            if not math.isnan(point.low):
                axes.plot([point.low, point.high], [height, height], color=colour, linewidth=2.5, alpha=0.6)
            axes.plot(point.value, height, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(shown)), [f"{point.name} (n={point.n})" for point in reversed(shown)], fontsize=8)
        axes.set(xlabel=points[0].metric.replace("_", " ") if points else "")
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        save_picture(figure, path)

    return draw
