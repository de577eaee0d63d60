"""The data path of fine-tuning: split rows -> resized images, kept where they fit -> random views in a seeded order.

What a sample looks like depends on (seed, epoch, place in the epoch) alone, so a resumed run sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from panderm.core.errors import InputError
from panderm.imaging.batches import image_rows
from panderm.imaging.preprocessing import Preprocessing, UndecodableImage, decode
from panderm.imaging.shards import ShardReader
from panderm.training.augment import augment, short_side
from panderm.training.finetune_recipe import FineTuneRecipe

Key = tuple[int, int, int]  # epoch, place in the epoch's order, row
_ORDER, _PIXELS = range(2)  # streams of random numbers that never meet
KEPT_BYTES = 1 << 30
"""Resized images that one loading process keeps: 1 GiB is about 4,000 of 256 px, and all of a small task's."""


class TaskImages(Dataset[tuple[NDArray[np.uint8], int]]):
    """Random views of the rows of a training split.

    Args:
        frame: rows of ``split.parquet``.
        data: folder of the published datasets.
        spec: the encoder's preprocessing.
        recipe: augmentation and seed.
    """

    def __init__(self, frame: pd.DataFrame, data: Path, spec: Preprocessing, recipe: FineTuneRecipe) -> None:
        self.rows = list(image_rows(frame))
        self.targets = frame["target"].to_numpy(dtype=np.int64)
        self.spec, self.recipe, self.reader = spec, recipe, ShardReader(data)
        self._kept: dict[int, Image.Image] = {}
        self._room = KEPT_BYTES

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> tuple[NDArray[np.uint8], int]:
        """Return a view (3, S, S) and its target.

        Raises:
            InputError: the image or its shard is missing or damaged.
        """
        epoch, place, row = key
        rng = np.random.default_rng([self.recipe.seed, _PIXELS, epoch, place])
        return augment(self._resized(row), self.spec, self.recipe.augmentation, rng), int(self.targets[row])

    def _resized(self, row: int) -> Image.Image:
        if row in self._kept:
            return self._kept[row]
        image_id, shard, offset, nbytes = self.rows[row]
        try:
            image = short_side(decode(self.reader.read(shard, offset, nbytes)), self.spec)
        except UndecodableImage as error:
            raise InputError(f"image {image_id} in {shard} cannot be read: {error}; publish its dataset again") from error
        size = image.width * image.height * 3
        if size <= self._room:
            self._kept[row] = image
            self._room -= size
        return image


class EpochDraws(Sampler[list[Key]]):
    """Batches of (epoch, place, row) for one process, from a given epoch to the last; incomplete batches are left out.

    Process r of w takes the r-th of w equal parts of each batch.

    Args:
        targets: class of each row.
        recipe: batch, epochs, seed, and whether classes are drawn equally often.
        batch: images a step over all processes, see :func:`fitting_batch`.
        start: first epoch.
        rank: this process.
        world: how many there are.
    """

    def __init__(
        self, targets: NDArray[np.int64], recipe: FineTuneRecipe, batch: int, start: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self.targets, self.recipe, self.batch = targets, recipe, batch
        self.start, self.rank, self.world = start, rank, world
        self.steps = len(targets) // batch  # per epoch

    def __len__(self) -> int:
        return self.steps * (self.recipe.epochs - self.start)

    def __iter__(self) -> Iterator[list[Key]]:
        share = self.batch // self.world
        for epoch in range(self.start, self.recipe.epochs):
            order = self.order(epoch)
            for step in range(self.steps):
                first = step * self.batch + self.rank * share
                yield [(epoch, place, int(order[place])) for place in range(first, first + share)]

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Return the rows of an epoch in their order."""
        rng = np.random.default_rng([self.recipe.seed, _ORDER, epoch])
        if not self.recipe.weighted_sampler:
            return rng.permutation(len(self.targets))
        counts = np.bincount(self.targets)
        weights = 1.0 / counts[self.targets]
        return rng.choice(len(self.targets), size=len(self.targets), p=weights / weights.sum())


def fitting_batch(images: int, wanted: int, world: int) -> int:
    """Return the batch: what is wanted or what the split can fill, even in each process, as mixing takes pairs.

    Raises:
        InputError: the split does not even fill a pair for each process.
    """
    unit = 2 * world
    batch = min(wanted, images) // unit * unit
    if batch == 0:
        raise InputError(
            f"the training split has {images} images and the batch is {wanted}, but fine-tuning with {world} process(es) "
            f"needs {unit} in a batch; add images, raise fine_tuning.batch or lower processes"
        )
    return batch


def collate(samples: list[tuple[NDArray[np.uint8], int]]) -> tuple[Tensor, Tensor]:
    """Stack samples into pixels (n, 3, S, S) uint8 and targets (n,)."""
    pixels, targets = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(pixels)), torch.tensor(targets)
