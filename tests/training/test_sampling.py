from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader, Dataset

from panderm.core.errors import ConfigError, InputError
from panderm.training.data import Corpus, EpochBatches
from panderm.training.sampling import EpochOrder, Labels, Sampling, decks_of, generator, select, shares


def table(rows: int = 600) -> pd.DataFrame:
    """Three sources; isic2024 and mym are tbp, edu1 is clinical in its first half and dermoscopic in its second."""
    numbers = np.arange(rows)
    source = np.array(["edu1", "isic2024", "mym"])[numbers * 3 // rows]
    modality = np.where(source == "edu1", np.where(numbers < rows // 6, "clinical", "dermoscopic"), "tbp")
    return pd.DataFrame(
        {
            "dataset": source,
            "image_id": [f"{number:04d}" for number in numbers],
            "modality": modality,
            "patient_id": [f"p:{number // 7}" if number % 2 else None for number in numbers],
        }
    )


def chosen(seed: int = 0, **settings: Any) -> set[int]:
    return set(select(table(), Sampling.parse(settings), seed).tolist())


def order(draws: int, sampling: Sampling, frame: pd.DataFrame | None = None, seed: int = 0) -> EpochOrder:
    frame = table() if frame is None else frame
    decks = decks_of(Labels.of(frame["dataset"]), Labels.of(frame["modality"]), sampling) if sampling.weighted else None
    blocks = np.arange(len(frame)) // sampling.block if sampling.order == "shard_blocks" else None
    return EpochOrder(len(frame), draws, seed, decks, blocks, sampling.block * sampling.window)


WEIGHTS = Sampling(modalities={"tbp": 2.0}, sources={"mym": 1.5, "edu1": 0.25})
BLOCKS = Sampling(order="shard_blocks", block=10, window=4)


def test_select__everything_by_default() -> None:
    assert chosen() == set(range(600))


@pytest.mark.parametrize("by", ["image", "patient"])
def test_select__fractions_are_nested_and_share_out_modalities(by: str) -> None:
    parts = [chosen(fraction=share, fraction_by=by) for share in (0.1, 0.2, 0.5, 1.0)]
    assert all(small < large for small, large in pairwise(parts))
    held = table().loc[sorted(parts[1])]
    counts = held["modality"].value_counts()
    if by == "image":
        assert dict(counts) == {"tbp": 80, "clinical": 20, "dermoscopic": 20}
    else:
        assert all(share <= counts[name] <= share + 4 for name, share in (("tbp", 80), ("clinical", 20), ("dermoscopic", 20)))
        frame = table().assign(held=lambda rows: rows.index.isin(held.index))
        assert (frame.groupby(["modality", "patient_id"])["held"].nunique() == 1).all()


def test_select__fraction_follows_from_the_seed_and_keeps_its_images_when_others_come() -> None:
    assert chosen(fraction=0.3) == chosen(fraction=0.3)
    assert chosen(fraction=0.3) != chosen(fraction=0.3, seed=1)
    grown = pd.concat([table(), table().assign(image_id=lambda rows: "new" + rows["image_id"])], ignore_index=True)
    before, after = chosen(fraction=0.3), set(select(grown, Sampling(fraction=0.3), 0).tolist())
    assert len(before & after) > 0.8 * len(before)


def test_select__leaves_out_modalities_and_sources_of_the_same_fraction() -> None:
    part, frame = chosen(fraction=0.5), table()
    without = chosen(fraction=0.5, leave_out=["dermoscopic", "mym"])
    assert without == {row for row in part if frame["modality"][row] != "dermoscopic" and frame["dataset"][row] != "mym"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"modalities": {"tpb": 2}}, r"unknown modality in sampling.modalities 'tpb'; allowed: clinical, dermoscopic, tbp"),
        (
            {"sources": {"hop": 2}},
            r"unknown source in sampling.sources 'hop'; allowed: edu1, isic2024, mym; these are the ones",
        ),
        ({"leave_out": ["hop"]}, r"'hop'; allowed: clinical, dermoscopic, tbp, edu1, isic2024, mym"),
        ({"sources": {"mym": 0}}, r"the weight of mym is 0.*name it in leave_out"),
        ({"fraction": 0}, r"'fraction' is 0"),
    ],
)
def test_select__what_the_corpus_does_not_hold_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        chosen(**settings)


def test_select__leaving_out_everything_is_refused() -> None:
    with pytest.raises(InputError, match="leaves no image of the corpus; leave out less"):
        chosen(leave_out=["edu1", "tbp"])


def test_epoch_order__without_weights_is_the_order_of_earlier_versions() -> None:
    drawn = order(600, Sampling())(3)
    assert np.array_equal(drawn.rows, np.random.default_rng([0, 0, 3]).permutation(600))
    assert set(drawn.passes.tolist()) == {3}


def test_epoch_order__weights_set_each_decks_share_of_every_epoch() -> None:
    weighted, source = order(600, WEIGHTS), table()["dataset"].to_numpy()
    for epoch in range(3):
        drawn = weighted(epoch)
        found = Counter(source[drawn.rows].tolist())
        # 200 images of each source; edu1 weighs .25 in both its modalities, mym 2 x 1.5
        expected = {name: 600 * weight / 5.25 for name, weight in (("edu1", 0.25), ("isic2024", 2), ("mym", 3))}
        assert all(abs(found[name] - count) <= 1 for name, count in expected.items())


def test_epoch_order__no_image_comes_again_before_its_deck_is_through() -> None:
    """Over the ends of epochs, and a crop (pass, row) is never repeated."""
    weighted, source = order(600, WEIGHTS), table()["dataset"].to_numpy()
    seen: Counter[int] = Counter()
    keys: set[tuple[int, int]] = set()
    for epoch in range(5):
        drawn = weighted(epoch)
        seen.update(drawn.rows.tolist())
        keys.update(zip(drawn.passes.tolist(), drawn.rows.tolist(), strict=True))
        for name in ("isic2024", "mym"):
            counts = [seen[row] for row in np.flatnonzero(source == name).tolist()]
            assert max(counts) - min(counts) <= 1
    assert len(keys) == 3000


def test_epoch_order__blocks_show_every_row_once_from_few_places_at_a_time() -> None:
    blocks = order(600, BLOCKS)
    first, second = blocks(0).rows, blocks(1).rows
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(600))
    assert not np.array_equal(first, second)
    for window in np.split(first, 15):  # 40 draws each
        assert len({row // 10 for row in window.tolist()}) == 4
        assert not np.array_equal(window, np.sort(window))


def test_epoch_order__blocks_take_weights_too() -> None:
    both = WEIGHTS.model_copy(update={"order": "shard_blocks", "block": 10, "window": 4})
    assert Counter(order(600, both)(2).rows.tolist()) == Counter(order(600, WEIGHTS)(2).rows.tolist())


class Keys(Dataset[tuple[int, int]]):
    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key


@pytest.mark.parametrize("sampling", [Sampling(), WEIGHTS, BLOCKS], ids=["plain", "weighted", "blocks"])
def test_epoch_batches__ranks_and_workers_share_an_epoch_without_overlap_or_loss(sampling: Sampling) -> None:
    """Each step's union over ranks is the single process's batch, whatever the workers; a resume goes on in its middle."""
    batch, epochs = 24, 2
    whole = list(EpochBatches(600, batch, epochs, 0, order=order(600, sampling)))
    assert len(whole) == 50
    for world, workers in ((1, 2), (2, 0), (4, 1)):
        steps: list[list[tuple[int, int]]] = [[] for _ in range(50 - 7)]
        for rank in range(world):
            sampler = EpochBatches(600, batch, epochs, 0, start=7, rank=rank, world=world, order=order(600, sampling))
            batches = DataLoader(Keys(), batch_sampler=sampler, num_workers=workers, collate_fn=list)  # type: ignore[arg-type]
            for step, keys in zip(steps, batches, strict=True):
                step.extend(keys)
        assert steps == whole[7:]
    if sampling is not WEIGHTS:
        for epoch in range(epochs):
            assert sorted(row for keys in whole for at, row in keys if at == epoch) == list(range(600))


def test_epoch_order__a_large_epoch_takes_no_memory_that_stays() -> None:
    weighted = EpochOrder(200_000, 200_000, 0, decks_of(*_large(200_000), WEIGHTS))
    tracemalloc.start()
    weighted(0)
    before = tracemalloc.get_traced_memory()[0]
    for epoch in range(1, 4):
        weighted(epoch)
    assert tracemalloc.get_traced_memory()[0] - before < 100_000
    assert tracemalloc.get_traced_memory()[1] < 200_000 * 8 * 8  # at most eight arrays of one number a row
    tracemalloc.stop()


def _large(rows: int) -> tuple[Labels, Labels]:
    frame = table(rows)
    return Labels.of(frame["dataset"]), Labels.of(frame["modality"])


def test_shares__add_up_and_leave_nobody_out() -> None:
    rng = generator(0, 9)
    for _ in range(100):
        weights = rng.exponential(size=rng.integers(1, 12)) ** 4
        total = int(rng.integers(len(weights), 400))
        found = shares(weights, total)
        assert found.sum() == total
        assert found.min() >= 1
        assert np.all(found - weights / weights.sum() * total < 1 + 1e-9) or found.min() == 1
    with pytest.raises(InputError, match="3 sources and modalities share 2 draws"):
        shares(np.ones(3), 2)


def test_corpus__holds_the_part_that_sampling_asks_for(tiny_corpus: Path) -> None:
    whole, part = Corpus(tiny_corpus / "corpus"), Corpus(tiny_corpus / "corpus", Sampling(leave_out=("tbp",)))
    assert (len(whole), len(part)) == (24, 12)
    assert part.names.tolist() == whole.names[12:].tolist()
    assert set(part.modalities.tolist()) == {"clinical"}
    assert np.array_equal(part.offsets, whole.offsets[12:])


def test_corpus__blocks_are_neighbours_in_their_shard(tiny_corpus: Path) -> None:
    corpus = Corpus(tiny_corpus / "corpus")
    blocks = corpus.order(Sampling(order="shard_blocks", block=4), 24, 0).blocks
    assert blocks is not None
    for number in range(6):
        rows = np.flatnonzero(blocks == number)
        assert len(rows) == 4
        assert len(set(corpus.codes[rows].tolist())) == 1
        assert rows.max() - rows.min() == 3  # this corpus is in the order of its shards
