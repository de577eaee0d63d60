"""The data path of pretraining: corpus rows -> bytes by position -> crops and masks, the same for any number of workers.

What a sample looks like depends on (seed, epoch, index) alone, and its place in the order on (seed, epoch); so a run that
is resumed in the middle of an epoch, or run with other workers, sees the same batches.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from panderm.core.errors import InputError
from panderm.core.tables import CORPUS, read_table
from panderm.imaging.shards import ShardReader
from panderm.models.masking import draw_mask, split_mask
from panderm.training.crops import render
from panderm.training.recipe import Recipe

CORPUS_NAME = "corpus.parquet"
_ORDER, _PIXELS, _MASK = range(3)  # streams of random numbers that never meet


class Batch(NamedTuple):
    """N samples for both networks.

    Attributes:
        student: (N, 3, S, S) uint8 pixels.
        teacher: (N, 3, S', S') uint8 pixels of the same crops.
        keep: (N, K) visible patches.
        masked: (N, M) masked patches.
        rows: (N,) rows of the corpus.
    """

    student: Tensor
    teacher: Tensor
    keep: Tensor
    masked: Tensor
    rows: Tensor


Sample = tuple[np.ndarray, ...]
"""One sample's arrays in the order of :class:`Batch`."""


class Corpus:
    """The corpus table, held in a few flat arrays (a forked loader does not copy them by reading).

    Args:
        folder: the corpus stage's output.

    Raises:
        InputError: the table is missing or empty.
    """

    def __init__(self, folder: Path) -> None:
        frame = read_table(folder / CORPUS_NAME, CORPUS)
        if frame.empty:
            raise InputError(f"{folder / CORPUS_NAME} has no rows; publish at least one source and run curate again")
        shards = frame["shard"].astype("category")
        self.shards = [str(name) for name in shards.cat.categories]
        self.codes = shards.cat.codes.to_numpy(dtype=np.int32)
        self.offsets = frame["offset"].to_numpy(dtype=np.int64)
        self.sizes = frame["nbytes"].to_numpy(dtype=np.int64)
        self.names = (frame["dataset"] + "/" + frame["image_id"]).to_numpy(dtype=str)
        self.modalities = frame["modality"].to_numpy(dtype=str)

    def __len__(self) -> int:
        return len(self.codes)


class PretrainingImages(Dataset[Sample]):
    """Samples by (epoch, row).

    Args:
        corpus: which images.
        data: the folder of published datasets.
        recipe: sizes, crops, masks and the seed.
    """

    def __init__(self, corpus: Corpus, data: Path, recipe: Recipe) -> None:
        self.corpus, self.recipe = corpus, recipe
        self.reader = ShardReader(data)
        self.sizes = (recipe.encoder.image_size, recipe.teacher.image_size)

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return one sample as arrays in the order of :class:`Batch`.

        Raises:
            InputError: a shard is missing, too short, or holds something else at that place.
        """
        epoch, row = key
        corpus, recipe = self.corpus, self.recipe
        shard = corpus.shards[corpus.codes[row]]
        data = self.reader.read(shard, int(corpus.offsets[row]), int(corpus.sizes[row]))
        try:
            student, teacher = render(data, self.sizes, recipe.augmentation, _generator(recipe.seed, _PIXELS, epoch, row))
        except OSError as error:
            raise InputError(f"{corpus.names[row]} in {shard} is not an image ({error}); publish its dataset anew") from error
        keep, masked = split_mask(draw_mask(recipe.masking, recipe.encoder.grid, _generator(recipe.seed, _MASK, epoch, row)))
        return student, teacher, keep, masked, np.asarray(row)


def _generator(seed: int, *path: int) -> np.random.Generator:
    return np.random.default_rng([seed, *path])


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The (epoch, row) pairs of one process, batch by batch, from a given step to the end of the last epoch.

    Every epoch is a fresh permutation; the rows that do not fill a global batch are left out of that epoch. Process r of w
    takes the r-th of w equal parts of each global batch, so that any number of processes sees the same global batches.

    Args:
        rows: size of the corpus.
        batch: global batch; divisible by ``world``.
        epochs: how many epochs there are in all.
        seed: of the order.
        start: first step to yield, counted over all epochs.
        rank: this process.
        world: how many there are.
    """

    def __init__(self, rows: int, batch: int, epochs: int, seed: int, start: int = 0, rank: int = 0, world: int = 1) -> None:
        self.rows, self.batch, self.epochs, self.seed = rows, batch, epochs, seed
        self.start, self.rank, self.world = start, rank, world
        self.steps_per_epoch = steps_per_epoch(rows, batch)

    def __len__(self) -> int:
        return self.steps_per_epoch * self.epochs - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, skip = divmod(self.start, self.steps_per_epoch)
        share = self.batch // self.world
        for now in range(epoch, self.epochs):
            order = _generator(self.seed, _ORDER, now).permutation(self.rows)
            for step in range(skip if now == epoch else 0, self.steps_per_epoch):
                first = step * self.batch + self.rank * share
                yield [(now, int(row)) for row in order[first : first + share]]


def steps_per_epoch(rows: int, batch: int) -> int:
    """Return how many full global batches an epoch has.

    Raises:
        InputError: the corpus does not fill one.
    """
    if rows < batch:
        raise InputError(
            f"the corpus has {rows} images, but a step takes {batch}; add images or lower optimisation.batch "
            "in pretrain.overrides"
        )
    return rows // batch


def loader(images: PretrainingImages, batches: EpochBatches, workers: int, pinned: bool) -> DataLoader[Sample]:
    """Return the loader of one process; it runs over all epochs, so that workers start once."""
    return DataLoader(
        images,
        batch_sampler=batches,  # type: ignore[arg-type]  # torch's type asks for integers
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker if workers else None,
    )


def collate(samples: list[Sample]) -> Batch:
    """Stack samples into a batch of tensors."""
    return Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)))


def _quiet_worker(_number: int) -> None:
    """Leave stopping to the process that owns the loader, and do not compete with it for cores."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
