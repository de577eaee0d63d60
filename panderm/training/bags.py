"""Slides as bags of features: a row a slide, and the features of its tiles read from a file as they are asked for.

A slide has hundreds to ten thousands of tiles. Features come from the cache that every task shares, some slides at a time,
and lie in one memory-mapped file while a classifier is trained, so memory grows with the largest slide only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from panderm.models.encoder import load_card
from panderm.training.features import Features, features

MOST_TILES = 65_536
"""Tiles whose features are in memory at once, unless one slide alone has more: 256 MB at width 1,024."""


class Inputs(NamedTuple):
    """Where features come from.

    Attributes:
        encoder: pretrain's output folder.
        data: folder of the published datasets.
        cache: the feature cache.
        batch: tiles a forward pass.
    """

    encoder: Path
    data: Path
    cache: Path
    batch: int = 64


def slide_table(tiles: pd.DataFrame) -> pd.DataFrame:
    """Return a row a slide of a split's rows, sorted by slide: the first tile's columns, ``slide`` and ``tiles`` (how many)."""
    ordered = tiles.sort_values(["lesion_id", "image_id"], kind="stable")
    table = ordered.drop_duplicates("lesion_id").reset_index(drop=True)
    counts = ordered["lesion_id"].value_counts()
    return table.assign(slide=table["lesion_id"], tiles=table["lesion_id"].map(counts).astype(np.int32))


def each_bag(tiles: pd.DataFrame, inputs: Inputs, what: str) -> Iterator[tuple[pd.DataFrame, Features]]:
    """Yield the rows (sorted by image_id) and features (N, D) of each slide, in the order of :func:`slide_table`.

    Raises:
        InputError: an image, a shard or the encoder is missing or damaged.
    """
    ordered = tiles.sort_values(["lesion_id", "image_id"], kind="stable").reset_index(drop=True)
    for part in _parts(ordered):
        found = features(inputs.encoder, part, inputs.data, inputs.cache, batch=inputs.batch, what=what)
        for places in part.reset_index(drop=True).groupby("lesion_id", sort=False).indices.values():
            yield part.iloc[places], found[places]


def _parts(ordered: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield runs of whole slides with at most ``MOST_TILES`` tiles, or one slide alone."""
    ends = np.flatnonzero(ordered["lesion_id"].to_numpy()[:-1] != ordered["lesion_id"].to_numpy()[1:]) + 1
    first = last = 0
    for end in [*ends.tolist(), len(ordered)]:
        if end - first > MOST_TILES and last > first:
            yield ordered.iloc[first:last]
            first = last
        last = end
    if last > first:
        yield ordered.iloc[first:last]


class Bags:
    """Features of slides in a memory-mapped file.

    Attributes:
        slides: :func:`slide_table`.
    """

    def __init__(self, tiles: pd.DataFrame, inputs: Inputs, path: Path) -> None:
        """Write ``path`` (N x D float32), replacing what is there."""
        self.slides = slide_table(tiles)
        path.parent.mkdir(parents=True, exist_ok=True)
        width = load_card(inputs.encoder).architecture.width
        self._features: NDArray[np.float32] = open_memmap(path, "w+", np.float32, (len(tiles), width))
        self._ends = np.cumsum(self.slides["tiles"].to_numpy())
        for end, (_, bag) in zip(self._ends, each_bag(tiles, inputs, "features of tiles"), strict=True):
            self._features[end - len(bag) : end] = bag

    def bag(self, slide: int) -> Features:
        """Return the features (N, D) of slide number ``slide``."""
        end = int(self._ends[slide])
        return np.array(self._features[end - int(self.slides["tiles"].iloc[slide]) : end])
