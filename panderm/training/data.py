"""The data path of pretraining: corpus rows -> bytes by position -> crops and masks, the same for any number of workers.

What a sample looks like depends on (seed, pass, row) alone, and its place in the order on (seed, epoch); so a run that is
resumed in the middle of an epoch, or run with other workers, sees the same batches.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from panderm.core.errors import InputError
from panderm.core.tables import CORPUS, read_table
from panderm.imaging.shards import ShardReader
from panderm.models.masking import draw_mask, split_mask
from panderm.training.crops import render
from panderm.training.parent_death import die_with_parent
from panderm.training.recipe import Recipe
from panderm.training.sampling import EpochOrder, Labels, Sampling, Stream, decks_of, generator, select

CORPUS_NAME = "corpus.parquet"
PREFETCH = 4  # batches that each loading process has ready
_NEEDED = pa.schema(
    [CORPUS.field(name) for name in ("dataset", "image_id", "modality", "patient_id", "shard", "offset", "nbytes")]
)


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
        sampling: which of its rows to hold; all by default.
        seed: of the fraction, if one is asked for.

    Attributes:
        names: (rows,) source and image, for messages.
        modalities: (rows,) of each image.

    Raises:
        InputError: the table is missing or empty, or sampling leaves nothing.
        ConfigError: sampling names a source or modality that the corpus does not hold.
    """

    def __init__(self, folder: Path, sampling: Sampling | None = None, seed: int = 0) -> None:
        frame = read_table(folder / CORPUS_NAME, _NEEDED)
        if frame.empty:
            raise InputError(f"{folder / CORPUS_NAME} has no rows; publish at least one source and run curate again")
        if sampling is not None:
            rows = select(frame, sampling, seed)
            frame = frame if len(rows) == len(frame) else frame.iloc[rows]
        shards = frame["shard"].astype("category")
        self.shards = [str(name) for name in shards.cat.categories]
        self.codes = shards.cat.codes.to_numpy(dtype=np.int32)
        self.offsets = frame["offset"].to_numpy(dtype=np.int64)
        self.sizes = frame["nbytes"].to_numpy(dtype=np.int64)
        # Of variable width: two million names take 0.1 GB instead of 0.5.
        self.names = (frame["dataset"] + "/" + frame["image_id"]).to_numpy(dtype=object).astype(np.dtypes.StringDType())
        self.source_labels, self.modality_labels = Labels.of(frame["dataset"]), Labels.of(frame["modality"])
        self.modalities = self.modality_labels.values()

    def __len__(self) -> int:
        return len(self.codes)

    def order(self, sampling: Sampling, draws: int, seed: int) -> EpochOrder:
        """Return the order in which epochs of ``draws`` images show these rows."""
        decks = decks_of(self.source_labels, self.modality_labels, sampling) if sampling.weighted else None
        blocks = None
        if sampling.order == "shard_blocks":
            blocks = np.empty(len(self), dtype=np.int64)
            blocks[np.lexsort((self.offsets, self.codes))] = np.arange(len(self)) // sampling.block
        return EpochOrder(len(self), draws, seed, decks, blocks, sampling.block * sampling.window)


class PretrainingImages(Dataset[Sample]):
    """Samples by (pass, row): crop and mask of a row's how-many-th showing, which without weights is the epoch.

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
        shown, row = key
        corpus, recipe = self.corpus, self.recipe
        shard = corpus.shards[corpus.codes[row]]
        data = self.reader.read(shard, int(corpus.offsets[row]), int(corpus.sizes[row]))
        try:
            student, teacher = render(data, self.sizes, recipe.augmentation, generator(recipe.seed, Stream.PIXELS, shown, row))
        except OSError as error:
            raise InputError(f"{corpus.names[row]} in {shard} is not an image ({error}); publish its dataset anew") from error
        keep, masked = split_mask(
            draw_mask(recipe.masking, recipe.encoder.grid, generator(recipe.seed, Stream.MASK, shown, row))
        )
        return student, teacher, keep, masked, np.asarray(row)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """The (pass, row) pairs of one process, batch by batch, from a given step to the end of the last epoch.

    The draws that do not fill a global batch are left out of their epoch. Process r of w takes the r-th of w equal parts of
    each global batch, so that any number of processes sees the same global batches.

    Args:
        rows: size of the corpus.
        batch: global batch; divisible by ``world``.
        epochs: how many epochs there are in all.
        seed: of the order.
        start: first step to yield, counted over all epochs.
        rank: this process.
        world: how many there are.
        order: draws of each epoch; by default every row once, in a fresh permutation.
    """

    def __init__(
        self,
        rows: int,
        batch: int,
        epochs: int,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        order: EpochOrder | None = None,
    ) -> None:
        self.batch, self.epochs = batch, epochs
        self.start, self.rank, self.world = start, rank, world
        self.steps_per_epoch = steps_per_epoch(rows, batch)
        self.order = order or EpochOrder(rows, self.steps_per_epoch * batch, seed)

    def __len__(self) -> int:
        return self.steps_per_epoch * self.epochs - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, skip = divmod(self.start, self.steps_per_epoch)
        share = self.batch // self.world
        for now in range(epoch, self.epochs):
            drawn = self.order(now)
            for step in range(skip if now == epoch else 0, self.steps_per_epoch):
                mine = slice(step * self.batch + self.rank * share, step * self.batch + (self.rank + 1) * share)
                yield list(zip(drawn.passes[mine].tolist(), drawn.rows[mine].tolist(), strict=True))


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
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_quiet_worker if workers else None,
    )


@contextmanager
def batches_of(loader: DataLoader[Sample]) -> Iterator[Iterator[Any]]:
    """Yield the loader's batches, and end its processes however the block ends.

    An exception on its way out holds the iterator, and with it its processes, until Python ends; there Python asks them with
    SIGTERM, which they do not follow (:func:`_quiet_worker`), and waits for them without limit.
    """
    batches = iter(loader)
    try:
        yield batches
    finally:
        if hasattr(batches, "_shutdown_workers"):  # torch offers no other way; without loading processes there is nothing to do
            batches._shutdown_workers()
        for worker in getattr(batches, "_workers", ()):
            worker.kill()  # one that is stuck in its storage; the others have ended


def collate(samples: list[Sample]) -> Batch:
    """Stack samples into a batch of tensors."""
    return Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)))


def _quiet_worker(_number: int) -> None:
    """Leave stopping to the process that owns the loader, go when it goes, and do not compete with it for cores.

    Slurm sends SIGTERM to every process of a job. The owner then finishes its step, for which it may need this one.
    """
    owner = os.getppid()

    def end_if_alone(*_signal: object) -> None:
        if os.getppid() != owner:
            os._exit(0)

    signal.signal(signal.SIGTERM, end_if_alone)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(owner)
    torch.set_num_threads(1)
