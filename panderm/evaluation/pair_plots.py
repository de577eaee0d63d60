"""The picture of pairs of images with what was said of them; equal tables, equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.files import writing


def draw_pairs(path: Path, pixels: NDArray[np.uint8], predictions: pd.DataFrame, title: str) -> None:
    """Write pairs, the earlier image above the later one, from the worst judged to the best.

    Args:
        path: the PNG.
        pixels: (P, 2, 3, S, S) uint8, as the network saw them.
        predictions: their rows, in the same order: ``label``, ``p_1``, ``registered``.
        title: first words of the picture's title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.0, 1.9 * len(pixels)), 4.6), dpi=120, layout="constrained")
    grid = figure.subplots(2, len(pixels), squeeze=False)
    for column, (pair, (_, row)) in enumerate(zip(pixels, predictions.iterrows(), strict=True)):
        for axes, image in zip(grid[:, column], pair, strict=True):
            axes.imshow(image.transpose(1, 2, 0))
            axes.set_axis_off()
        unregistered = "" if row["registered"] else "\nnot registered"
        grid[0, column].set_title(f"{row['label']}\np(changed) {row['p_1']:.2f}{unregistered}", fontsize=8)
    text = f"{title}: from worst to best judged; above the earlier image"
    figure.suptitle(text, fontsize=9, x=0.01, ha="left")
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
