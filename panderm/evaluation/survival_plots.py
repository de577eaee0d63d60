"""Pictures of survival: two curves, hazard ratios, AUC over time. Equal values, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from panderm.core.files import writing
from panderm.evaluation.survival import Events, HazardRatio, Times, at_risk, kaplan_meier

_LOW, _HIGH = "#1b6ca8", "#c8553d"
_LOOKS = 6  # times at which the numbers at risk stand below the curves


def draw_kaplan_meier(path: Path, time: Times, event: Events, high: Events, title: str) -> None:
    """Write the two groups' Kaplan-Meier curves with 95 % bands and the numbers at risk.

    Args:
        path: the PNG.
        time: years (P,).
        event: (P,) bool.
        high: who is at high risk, (P,) bool; neither group is empty.
        title: the picture's title.
    """
    figure, axes = _figure(6.4, 4.4)
    when = np.unique(np.linspace(0, max(1.0, np.floor(time.max())), _LOOKS).round())
    for line, (name, mine, colour) in enumerate((("low risk", ~high, _LOW), ("high risk", high, _HIGH))):
        curve = kaplan_meier(time[mine], event[mine])
        axes.step(
            curve.time,
            curve.free,
            where="post",
            color=colour,
            label=f"{name}, {int(event[mine].sum())} of {mine.sum()} relapsed",
        )
        axes.fill_between(curve.time, curve.low, curve.high, step="post", color=colour, alpha=0.15, linewidth=0)
        gone = ~event & mine
        axes.plot(time[gone], np.interp(time[gone], *_steps(curve)), "|", color=colour, markersize=5)
        for year, count in zip(when, at_risk(time[mine], when), strict=True):
            place = (year, -0.28 - 0.075 * line)
            axes.text(*place, str(count), color=colour, fontsize=8, ha="center", transform=axes.get_xaxis_transform())
    axes.text(0, -0.2, "at risk", fontsize=8, color="#666666", ha="left", transform=axes.get_xaxis_transform())
    axes.set(xlabel="years", ylabel="free of recurrence", ylim=(0, 1.03), xlim=(-0.02 * when[-1], max(time.max(), 1.0) * 1.02))
    axes.set_xticks(when)
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    _save(figure, axes, path, title)


def _steps(curve: Any) -> tuple[Times, Times]:
    """Return the curve as points that linear interpolation turns into its steps."""
    time = np.repeat(curve.time, 2)[1:]
    return time, np.repeat(curve.free, 2)[:-1]


def draw_forest(path: Path, ratios: list[HazardRatio], title: str) -> None:
    """Write hazard ratios with Wald's 95 % intervals and p, on a logarithmic scale."""
    figure, axes = _figure(7.4, 0.8 + 0.36 * len(ratios))
    for row, found in enumerate(reversed(ratios)):
        ends = [max(found.low, 1e-3), min(found.high, 1e3)]
        colour = _HIGH if found.p < 0.05 else "#666666"
        axes.plot(ends, [row, row], color=colour, linewidth=1.4)
        axes.plot(np.clip(found.ratio, 1e-3, 1e3), row, "s", color=colour, markersize=5)
        words = f"{found.ratio:.3g} ({found.low:.3g} to {found.high:.3g}), P {_p(found.p)}"
        axes.text(1.02, row, words, fontsize=8, va="center", transform=axes.get_yaxis_transform())
    axes.axvline(1, color="#999999", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(ratios)), [found.name for found in reversed(ratios)], fontsize=8)
    axes.set(xscale="log", xlabel="hazard ratio of one unit more", ylim=(-0.6, len(ratios) - 0.4))
    _save(figure, axes, path, title)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def draw_dynamic_auc(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """Write the time-dependent AUC with its interval at each horizon; ``rows`` have ``years, value, low, high`` (or null)."""
    figure, axes = _figure(4.8, 3.4)
    known = [row for row in rows if row["value"] is not None]
    for row in known:
        if row["low"] is not None:
            axes.plot([row["years"]] * 2, [row["low"], row["high"]], color=_LOW, linewidth=1.4)
        axes.annotate(
            f"{row['value']:.3f}", (row["years"], row["value"]), xytext=(7, 0), textcoords="offset points", fontsize=9
        )
    axes.plot([row["years"] for row in known], [row["value"] for row in known], "o", color=_LOW)
    axes.axhline(0.5, color="#999999", linestyle=":", linewidth=1)
    axes.set_xticks([row["years"] for row in rows])
    years = [row["years"] for row in rows]
    axes.set(xlabel="years", ylabel="time-dependent AUC", ylim=(0, 1.03), xlim=(min(years) - 1, max(years) + 1.5))
    _save(figure, axes, path, title)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, axes: Any, path: Path, title: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
