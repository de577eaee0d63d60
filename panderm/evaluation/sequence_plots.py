"""The picture of how early melanomas are called; equal tables, equal bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.core.files import writing
from panderm.evaluation.first_correct import found_by


def draw_first_correct(path: Path, first: pd.DataFrame, title: str) -> None:
    """Write how many melanomas were called by each image of their sequence.

    Args:
        path: the PNG.
        first: what :func:`panderm.evaluation.first_correct.first_correct` returns.
        title: first words of the picture's title.
    """
    from matplotlib.figure import Figure

    last = int(first["images"].max()) if len(first) else 1
    figure = Figure(figsize=(5.2, 3.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.step(range(1, last + 1), found_by(first, last), where="mid", marker="o", color="#1b6ca8")
    axes.axhline(len(first), color="#999999", linewidth=1, linestyle="--")
    axes.annotate(f"all {len(first)} melanomas", (1, len(first)), fontsize=8, color="#666666", va="bottom")
    axes.set(xlabel="image of the sequence", ylabel="melanomas called so far", ylim=(0, max(1, len(first)) * 1.12))
    axes.set_xticks(range(1, last + 1))
    axes.set_title(f"{title}: first correct call", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
