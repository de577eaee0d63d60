"""Pictures of the three studies. Bars and whiskers are 95 % intervals of what the title says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from panderm.reader_studies.canvas import MODEL, READERS, WITH, WITHOUT, new_axes, save
from panderm.reader_studies.conditions import MEASURES, Conditions
from panderm.reader_studies.melanoma import EarlyMelanoma
from panderm.reader_studies.support import HIGH, LOW, MEDIUM, Support


def draw_melanoma(folder: Path, found: EarlyMelanoma, synthetic: bool) -> list[str]:
    """Write ``first_correct.png``: melanomas found by each image of their sequence, and accuracy of each reader."""
    figure, (curve, dots) = new_axes(2, synthetic=synthetic)
    _curves(curve, found)
    _accuracies(dots, found)
    save(figure, folder / "first_correct.png")
    return ["first_correct.png"]


def _curves(axes: Any, found: EarlyMelanoma) -> None:
    people = found.readers.loc[found.readers["kind"] == "reader", "reader"]
    model = found.readers.loc[found.readers["kind"] == "model", "reader"].iloc[0]
    lines = np.array([found.curves[name] for name in people])
    images = np.arange(1, lines.shape[1] + 1)
    for line in lines:
        axes.plot(images, line, color=READERS, linewidth=0.7, alpha=0.5)
    axes.plot(
        images,
        lines.mean(axis=0),
        color="#3c4043",
        linewidth=2,
        marker="o",
        markersize=4,
        label=f"mean of {len(people)} readers",
    )
    axes.plot(images, found.curves[model], color=MODEL, linewidth=2, marker="o", markersize=4, label=str(model))
    axes.set(xlabel="image of the sequence", ylabel="share of melanomas called malignant by then", ylim=(0, 1.03))
    axes.set_xticks(images)
    axes.set_title("First correct malignant call", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower right")


def _accuracies(axes: Any, found: EarlyMelanoma) -> None:
    people = found.readers[found.readers["kind"] == "reader"].sort_values("accuracy")
    model = found.readers[found.readers["kind"] == "model"].iloc[0]
    groups = people["experience"].fillna("readers")
    for number, name in enumerate(sorted(groups.unique())):
        chosen = (groups == name).to_numpy()
        shape = "os^D"[number % 4]
        axes.scatter(people["accuracy"][chosen], np.flatnonzero(chosen), color=READERS, marker=shape, s=34, label=name)
    axes.axvline(model["accuracy"], color=MODEL, linewidth=1.8, label=f"{model['reader']} {model['accuracy']:.3f}")
    axes.axvline(
        people["accuracy"].mean(), color="#3c4043", linestyle=":", label=f"mean reader {people['accuracy'].mean():.3f}"
    )
    axes.set_yticks(range(len(people)), people["reader"], fontsize=8)
    axes.set(xlabel="accuracy over all images")
    axes.set_title("Overall accuracy", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def draw_support(folder: Path, found: Support, synthetic: bool) -> list[str]:
    """Write ``support.png``: each reader without and with support by experience, and the difference by class."""
    figure, (pairs, bars) = new_axes(2, synthetic=synthetic)
    place = {LOW: 0.0, MEDIUM: 1.0, HIGH: 2.0}
    for reader in found.readers.to_dict("records"):
        x, shares = place[reader["experience"]], (reader["without"], reader["with"])
        pairs.plot([x - 0.18, x + 0.18], shares, color=READERS, linewidth=0.8, alpha=0.6)
        pairs.scatter([x - 0.18, x + 0.18], shares, color=[WITHOUT, WITH], s=12)
    for row in found.effects[found.effects["family"] == "experience"].to_dict("records"):
        pairs.text(place[row["name"]], 1.01, _p(row["p_holm"]), ha="center", fontsize=9)
    pairs.set_xticks(list(place.values()), [f"{name}\n(n={count})" for name, count in _counts(found.readers, place)])
    pairs.set(ylabel="accuracy", ylim=(0, 1.06), xlabel="experience by entry score")
    pairs.set_title("Each reader without (grey) and with support", loc="left", fontsize=11)
    _differences(bars, found.effects[found.effects["family"].isin(["overall", "label"])], "difference of accuracy")
    bars.set_title("With - without, over readers", loc="left", fontsize=11)
    save(figure, folder / "support.png")
    return ["support.png"]


def _counts(readers: pd.DataFrame, place: dict[str, float]) -> list[tuple[str, int]]:
    return [(name, int((readers["experience"] == name).sum())) for name in place]


def draw_conditions(folder: Path, found: Conditions, synthetic: bool) -> list[str]:
    """Write ``specialty.png`` and ``condition_group.png``: the three measures' differences and the change rate by group."""
    names = []
    for family in ("specialty", "condition_group"):
        figure, axes = new_axes(4, width=3.9, height=3.4, synthetic=synthetic)
        for one, measure in zip(axes, MEASURES, strict=False):
            chosen = found.effects["family"].isin(["overall", family]) & (found.effects["measure"] == measure.name)
            _differences(one, found.effects[chosen], f"difference of {measure.title}")
        _changed(axes[3], found.changes[found.changes["family"].isin(["overall", family])])
        for one in axes[1:]:
            one.set_yticklabels([])
        save(figure, folder / f"{family}.png")
        names.append(f"{family}.png")
    return names


def _differences(axes: Any, rows: pd.DataFrame, label: str) -> None:
    """Draw each row's mean difference over readers with Student's interval, overall on top, and its adjusted p."""
    values = rows["difference"].to_numpy()
    below, above = values - rows["t_low"].to_numpy(), rows["t_high"].to_numpy() - values
    y = -np.arange(len(rows))
    axes.errorbar(values, y, xerr=[below, above], fmt="o", color=WITH, capsize=3, markersize=5)
    axes.axvline(0, color="#999999", linestyle=":", linewidth=1)
    axes.set_yticks(y, [name or "overall" for name in rows["name"]], fontsize=9)
    for where, value in zip(y, rows["p_holm"], strict=True):
        axes.annotate(_p(value), (1.0, where), xycoords=("axes fraction", "data"), fontsize=8, ha="right", va="bottom")
    axes.set_xlabel(f"{label}\n(p: paired t-test, Holm)")
    axes.margins(x=0.3, y=0.12)


def _changed(axes: Any, rows: pd.DataFrame) -> None:
    values, y = rows["changed"].to_numpy(), -np.arange(len(rows))
    axes.errorbar(
        values, y, xerr=[values - rows["low"].to_numpy(), rows["high"].to_numpy() - values], fmt="s", color="#3c4043", capsize=3
    )
    axes.set_yticks(y, [name or "overall" for name in rows["name"]])
    axes.set(xlabel="share of diagnoses changed", xlim=(0, None))
    axes.margins(y=0.12)


def _p(value: float) -> str:
    if np.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
