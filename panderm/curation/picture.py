"""The corpus as a picture: images by source and modality, and what was left out and why."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog.table import MODALITIES

_COLOURS = dict(zip(MODALITIES, ("#4c72b0", "#dd8452", "#55a868", "#8172b3"), strict=True))
_LEFT_OUT = ("#c44e52", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd", "#222222")


def draw_corpus(path: Path, corpus: pd.DataFrame, exclusions: pd.DataFrame) -> None:
    """Write a PNG: one bar a source, its corpus images by modality, then its exclusions by reason."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    used = corpus.groupby(["dataset", "modality"]).size().unstack(fill_value=0)
    out = exclusions.groupby(["dataset", "reason"]).size().unstack(fill_value=0)
    sources = sorted(set(used.index) | set(out.index), reverse=True)
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(sources)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    left = pd.Series(0, index=sources)
    parts: list[tuple[pd.Series, str, str, str]] = [(used[m], m, _COLOURS[m], "") for m in MODALITIES if m in used]
    parts += [(out[r], f"left out: {str(r).replace('_', ' ')}", c, "///") for r, c in zip(out, _LEFT_OUT, strict=False)]
    for counts, label, colour, hatch in parts:
        width = counts.reindex(sources, fill_value=0)
        axes.barh(sources, width, left=left, label=label, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5)
        left = left + width
    axes.set_xlabel("images")
    axes.set_title(f"Pretraining corpus: {len(corpus):,} images; {len(exclusions):,} left out", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, metadata={"Software": None})
