"""Which tiles of a slide counted: tiles put back in their places, and the same places coloured by attention."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from panderm.core.files import writing

_SIDE = 900  # pixels of the longer side of a slide's picture
_COLOURS = "coolwarm"


class SlideView(NamedTuple):
    """A slide to be shown.

    Attributes:
        slide: its name.
        places: column and row of each tile, (N, 2).
        tiles: small pictures of them, (N, S, S, 3).
        attention: of each, (N,).
    """

    slide: str
    places: NDArray[np.int64]
    tiles: NDArray[np.uint8]
    attention: NDArray[np.float32]


def draw_attention(path: Path, views: list[SlideView], captions: list[str], title: str) -> None:
    """Write a PNG with two pictures a slide, one below the other; equal views give equal bytes.

    Colours show the rank of a tile's attention among the tiles of its slide, since the values themselves depend on how many
    there are.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.9 * len(views) + 0.8, 6.6), dpi=120, layout="constrained")
    axes = figure.subplots(2, len(views), squeeze=False)
    for column, (view, caption) in enumerate(zip(views, captions, strict=True)):
        axes[0, column].imshow(mosaic(view))
        axes[0, column].set_title(caption, fontsize=8)
        shown = axes[1, column].imshow(ranks(view), cmap=_COLOURS, vmin=0, vmax=1, interpolation="nearest")
        axes[1, column].set_title(f"{len(view.places):,} tiles; highest attention {view.attention.max():.3f}", fontsize=8)
        for row in range(2):
            axes[row, column].set(xticks=[], yticks=[])
            axes[row, column].spines[:].set_color("0.8")
    bar = figure.colorbar(shown, ax=axes[1, :].tolist(), fraction=0.03, ticks=[0, 1])
    bar.ax.set_yticklabels(["least", "most"])
    bar.set_label("attention, rank on the slide")
    figure.suptitle(f"{title}: tiles on their slides, and which counted (best and worst judged of each class)", fontsize=10)
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})


def mosaic(view: SlideView) -> NDArray[np.uint8]:
    """Return a slide put together from its tiles (H, W, 3), white where there is none."""
    columns, rows = (int(end) + 1 for end in view.places.max(axis=0))
    side = int(np.clip(_SIDE // max(columns, rows), 1, view.tiles.shape[1]))
    picture = np.full((rows * side, columns * side, 3), 255, dtype=np.uint8)
    for (column, row), tile in zip(view.places.tolist(), view.tiles, strict=True):
        small = np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.BOX))
        picture[row * side : (row + 1) * side, column * side : (column + 1) * side] = small
    return picture


def ranks(view: SlideView) -> NDArray[np.float64]:
    """Return the rank of attention from 0 (least) to 1 (most) on the slide's grid (R, C); NaN where there is no tile."""
    columns, rows = (int(end) + 1 for end in view.places.max(axis=0))
    grid = np.full((rows, columns), np.nan)
    rank = (rankdata(view.attention) - 1) / max(1, len(view.attention) - 1)
    grid[view.places[:, 1], view.places[:, 0]] = rank
    return grid
