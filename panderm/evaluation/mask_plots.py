"""Pictures of predicted masks; equal tables, equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.files import writing


def draw_masks(
    path: Path, images: NDArray[np.uint8], true: NDArray[np.bool_], found: NDArray[np.bool_], jaccard: list[float], title: str
) -> None:
    """Write images with the outlines of the true (white) and the predicted mask (orange).

    Args:
        path: the PNG.
        images: (N, 3, S, S) uint8.
        true: (N, S, S).
        found: (N, S, S).
        jaccard: of each image, printed above it.
        title: first words of the picture's title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9 * len(images), 2.5), dpi=120, layout="constrained")
    grid = figure.subplots(1, len(images), squeeze=False)[0]
    for axes, image, mask, guess, value in zip(grid, images, true, found, jaccard, strict=True):
        axes.imshow(image.transpose(1, 2, 0))
        for outline, colour in ((mask, "white"), (guess, "#ff8c1a")):
            if outline.any() and not outline.all():
                axes.contour(outline.astype(float), levels=[0.5], colors=[colour], linewidths=1.4)
        axes.set_title(f"Jaccard {value:.2f}", fontsize=8)
        axes.set_axis_off()
    figure.suptitle(f"{title}: worst, middling and best; true mask white, predicted orange", fontsize=9, x=0.01, ha="left")
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})


def draw_overlaps(path: Path, predictions: pd.DataFrame, title: str) -> None:
    """Write how Dice and Jaccard spread over the test images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), dpi=120, layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41).tolist()
    for name, colour in (("jaccard", "#1b6ca8"), ("dice", "#ff8c1a")):
        label = f"{name.capitalize()}, mean {predictions[name].mean():.3f}"
        axes.hist(predictions[name], bins=bins, histtype="step", linewidth=1.6, color=colour, label=label)
    axes.set(xlabel="agreement with the true mask", ylabel="images", xlim=(0, 1))
    axes.set_title(f"{title}: {len(predictions)} test images", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
