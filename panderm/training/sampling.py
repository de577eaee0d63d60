"""Which images of the corpus an epoch shows, how often, and in which order: weights, fractions, ablations.

Everything is addressed, nothing is stored: the order of an epoch follows from (seed, epoch), so that a resume in the middle of
an epoch and any number of processes or workers see the same. ``docs/pretraining.md`` says what an epoch means with weights.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, field_validator

from panderm.core.config import FrozenConfig
from panderm.core.errors import ConfigError, InputError, one_of

Rows = NDArray[np.int64]
Codes = NDArray[np.int16]


class Stream(IntEnum):
    """Streams of random numbers that never meet; the numbers of the first three are those of all earlier versions."""

    ORDER = 0
    PIXELS = 1
    MASK = 2
    DECK = 3
    BLOCKS = 4


def generator(seed: int, *path: int) -> np.random.Generator:
    """Return the generator that belongs to an address."""
    return np.random.default_rng([seed, *path])


class Sampling(FrozenConfig):
    """What of the corpus is shown. The default shows every image once an epoch (the paper names no weights).

    Attributes:
        sources: weight by source, 1 for those not named; an image of weight 2 is shown twice as often as one of weight 1.
        modalities: weight by modality; an image's weight is the product of both.
        fraction: share of the corpus to train on, of each modality alike; a smaller share is part of every larger one.
        fraction_by: ``image`` takes exactly that share; ``patient`` takes whole patients until the share is reached.
        leave_out: modalities or sources to leave out, after ``fraction``.
        order: ``rows`` draws single images from everywhere; ``shard_blocks`` shuffles blocks of neighbouring images, so that
            shards are read in long runs (network storage, disks; docs/decisions/0010-data-path.md).
        block: images in a block (128: about 8 MB of stored dermoscopy, long enough for any storage to stream).
        window: blocks that are mixed with one another (64: some four batches of 1,920, half a gigabyte of cache).
    """

    sources: dict[str, float] = Field(default_factory=dict)
    modalities: dict[str, float] = Field(default_factory=dict)
    fraction: float = Field(default=1.0, gt=0, le=1)
    fraction_by: Literal["image", "patient"] = "image"
    leave_out: tuple[str, ...] = ()
    order: Literal["rows", "shard_blocks"] = "rows"
    block: int = Field(default=128, gt=0)
    window: int = Field(default=64, gt=0)

    @field_validator("sources", "modalities")
    @classmethod
    def _positive(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"the weight of {name} is {weight}; give a positive number, or name it in leave_out")
        return weights

    @property
    def weighted(self) -> bool:
        """Whether any weight differs from 1."""
        return any(weight != 1 for weight in (*self.sources.values(), *self.modalities.values()))


def select(table: pd.DataFrame, sampling: Sampling, seed: int) -> Rows:
    """Return the rows of the corpus to train on, ascending.

    Args:
        table: columns dataset, image_id, modality, patient_id.
        sampling: what is asked for.
        seed: of the fraction.

    Raises:
        ConfigError: a name is no source or modality of this corpus.
        InputError: nothing is left.
    """
    sources, modalities = (sorted(table[name].unique()) for name in ("dataset", "modality"))
    for names, allowed, what in (
        (sampling.sources, sources, "source in sampling.sources"),
        (sampling.modalities, modalities, "modality in sampling.modalities"),
        (sampling.leave_out, [*modalities, *sources], "modality or source in sampling.leave_out"),
    ):
        for name in names:
            if name not in allowed:
                raise ConfigError(one_of(name, allowed, what, "these are the ones the corpus holds"))
    kept = _fraction(table, sampling, seed) if sampling.fraction < 1 else np.ones(len(table), dtype=bool)
    for name in sampling.leave_out:
        kept &= ((table["modality"] != name) & (table["dataset"] != name)).to_numpy()
    if not kept.any():
        raise InputError(f"sampling.leave_out {', '.join(sampling.leave_out)} leaves no image of the corpus; leave out less")
    return np.flatnonzero(kept)


def _fraction(table: pd.DataFrame, sampling: Sampling, seed: int) -> NDArray[np.bool_]:
    """Keep, of each modality, the images (or patients) with the lowest hashes: nested, and steady when images are added."""
    unit = table["dataset"].astype(object) + "/" + table["image_id"].astype(object)
    if sampling.fraction_by == "patient":
        unit = table["patient_id"].astype(object).where(table["patient_id"].notna(), unit)
    hashes = pd.util.hash_array(unit.to_numpy(dtype=object), hash_key=f"{seed % 10**16:016d}", categorize=False)
    kept = np.zeros(len(table), dtype=bool)
    for rows in table.groupby("modality", sort=True).indices.values():
        target = max(1, math.ceil(round(sampling.fraction * len(rows), 6)))
        kept[rows] = hashes[rows] <= np.partition(hashes[rows], target - 1)[target - 1]
    return kept


class Labels(NamedTuple):
    """A column of few values.

    Attributes:
        names: the values, sorted.
        codes: (rows,) which of them.
    """

    names: list[str]
    codes: Codes

    @classmethod
    def of(cls, column: pd.Series) -> Labels:
        """Return a column's labels."""
        values = column.astype("category")
        return cls([str(name) for name in values.cat.categories], values.cat.codes.to_numpy().astype(np.int16))

    def values(self) -> NDArray[np.str_]:
        """Return each row's value."""
        return np.asarray(self.names)[self.codes]


class Decks(NamedTuple):
    """Rows by weight.

    Attributes:
        rows: of each deck, ascending.
        weights: of one row of each deck.
    """

    rows: list[Rows]
    weights: NDArray[np.float64]


def decks_of(sources: Labels, modalities: Labels, sampling: Sampling) -> Decks:
    """Return one deck for each source and modality that occur together."""
    both = sources.codes.astype(np.int64) * len(modalities.names) + modalities.codes
    found, codes = np.unique(both, return_inverse=True)
    pairs = [(sources.names[code // len(modalities.names)], modalities.names[code % len(modalities.names)]) for code in found]
    weights = [sampling.sources.get(source, 1.0) * sampling.modalities.get(modality, 1.0) for source, modality in pairs]
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    return Decks(rows, np.array(weights))


class Drawn(NamedTuple):
    """The draws of one epoch, in order.

    Attributes:
        passes: (n,) the how-many-th showing of that row it is; with the row it addresses crop and mask.
        rows: (n,) rows of the corpus.
    """

    passes: Rows
    rows: Rows


class EpochOrder:
    """Draws the order of each epoch.

    Without weights every row comes once an epoch. With weights each source and modality deals from a deck of its own: its
    share of an epoch is always the same number of draws, and no image comes a second time before all of its deck came once,
    over the ends of epochs too.

    Args:
        rows: how many there are.
        draws: of an epoch; with weights exactly as many, without them it is ``rows`` and the sampler drops the rest.
        seed: of the order.
        decks: rows by weight; None for no weights.
        blocks: (rows,) number of each row's block of neighbours; None for no blocks.
        mixed: draws that are shuffled together where there are blocks.
    """

    def __init__(
        self,
        rows: int,
        draws: int,
        seed: int,
        decks: Decks | None = None,
        blocks: Rows | None = None,
        mixed: int = 1,
    ) -> None:
        self.rows, self.seed, self.blocks, self.mixed = rows, seed, blocks, mixed
        self.decks = decks.rows if decks else []
        if decks:
            self.dealt = shares(np.array([len(rows) for rows in decks.rows]) * decks.weights, draws)

    def __call__(self, epoch: int) -> Drawn:
        """Return the draws of an epoch."""
        if self.decks:
            drawn = self._deal(epoch)
        elif self.blocks is None:
            return self._same_pass(generator(self.seed, Stream.ORDER, epoch).permutation(self.rows), epoch)
        else:
            drawn = self._same_pass(np.arange(self.rows), epoch)
        order = self._mix(drawn.rows, epoch)
        return Drawn(drawn.passes[order], drawn.rows[order])

    @staticmethod
    def _same_pass(rows: Rows, epoch: int) -> Drawn:
        return Drawn(np.broadcast_to(np.int64(epoch), rows.shape), rows)

    def _deal(self, epoch: int) -> Drawn:
        """Deal each deck from where the epoch before ended, shuffled anew each time it is through."""
        passes: list[Rows] = []
        rows: list[Rows] = []
        for number, (deck, count) in enumerate(zip(self.decks, self.dealt.tolist(), strict=True)):
            first, end = epoch * count, (epoch + 1) * count
            for turn in range(first // len(deck), -(-end // len(deck))):
                shuffled = deck[generator(self.seed, Stream.DECK, number, turn).permutation(len(deck))]
                part = shuffled[max(first - turn * len(deck), 0) : end - turn * len(deck)]
                rows.append(part)
                passes.append(np.full(len(part), turn))
        return Drawn(np.concatenate(passes), np.concatenate(rows))

    def _mix(self, rows: Rows, epoch: int) -> Rows:
        """Return the order in which ``rows`` are shown."""
        if self.blocks is None:
            return generator(self.seed, Stream.ORDER, epoch).permutation(len(rows))
        rng = generator(self.seed, Stream.BLOCKS, epoch)
        turns = rng.permutation(int(self.blocks.max()) + 1)
        order = np.argsort(turns[self.blocks[rows]], kind="stable")
        for first in range(0, len(order), self.mixed):
            rng.shuffle(order[first : first + self.mixed])
        return order


def shares(weights: NDArray[np.float64], total: int) -> Rows:
    """Return whole numbers in proportion to ``weights`` that add up to ``total``, each at least 1 (largest remainders).

    Raises:
        InputError: there are more weights than ``total``.
    """
    if len(weights) > total:
        raise InputError(f"{len(weights)} sources and modalities share {total} draws of an epoch; add images to the corpus")
    exact = weights / weights.sum() * total
    whole: Rows = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - int(whole.sum())]] += 1
    while not whole.all():
        whole[whole.argmin()] += 1
        whole[whole.argmax()] -= 1
    return whole
