from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from panderm.core.errors import InputError
from panderm.core.tables import CORPUS, empty, write_table
from panderm.training.data import Batch, Corpus, EpochBatches, PretrainingImages, loader, steps_per_epoch
from panderm.training.recipe import Recipe


def batches(folder: Path, recipe: Recipe, workers: int, start: int = 0) -> list[Batch]:
    corpus = Corpus(folder / "corpus")
    order = EpochBatches(len(corpus), 4, 2, seed=0, start=start)
    return list(loader(PretrainingImages(corpus, folder / "data", recipe), order, workers, pinned=False))  # type: ignore[arg-type]


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_loader__gives_the_same_batches_with_any_number_of_workers(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    alone, helped = batches(tiny_corpus, tiny_recipe, 0), batches(tiny_corpus, tiny_recipe, 2)
    assert len(alone) == len(helped) == 12
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_loader__goes_on_in_the_middle_of_an_epoch(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    whole, rest = batches(tiny_corpus, tiny_recipe, 0), batches(tiny_corpus, tiny_recipe, 0, start=8)
    assert all(same(a, b) for a, b in zip(whole[8:], rest, strict=True))


def test_loader__shapes_and_types(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    batch = batches(tiny_corpus, tiny_recipe, 0)[0]
    assert batch.student.shape == batch.teacher.shape == (4, 3, 32, 32)
    assert batch.student.dtype == torch.uint8
    assert batch.keep.shape == batch.masked.shape == (4, 8)
    assert batch.rows.tolist() == [row for _, row in next(iter(EpochBatches(24, 4, 2, seed=0)))]


def test_epoch_batches__an_epoch_sees_every_row_once() -> None:
    keys = [key for batch in EpochBatches(24, 4, 3, seed=1) for key in batch]
    for epoch in range(3):
        assert sorted(row for at, row in keys if at == epoch) == list(range(24))
    orders = [[row for at, row in keys if at == epoch] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("world", [2, 4])
def test_epoch_batches__processes_share_each_global_batch(world: int) -> None:
    whole = list(EpochBatches(27, 8, 2, seed=1))
    parts = [list(EpochBatches(27, 8, 2, seed=1, rank=rank, world=world)) for rank in range(world)]
    for step, batch in enumerate(whole):
        assert [key for part in parts for key in part[step]] == batch
    assert len(whole) == 6  # 3 rows of each epoch do not fill a batch


def test_steps_per_epoch__a_corpus_below_one_batch_is_refused() -> None:
    with pytest.raises(InputError, match=r"24 images, but a step takes 32; add images or lower optimisation\.batch"):
        steps_per_epoch(24, 32)


def test_corpus__without_rows_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "corpus.parquet", empty(CORPUS), CORPUS)
    with pytest.raises(InputError, match="has no rows; publish at least one source"):
        Corpus(tmp_path)


def test_pretraining_images__bytes_that_are_no_image_are_named(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    shard = tiny_corpus / "data/one/shards/000000.tar"
    shard.write_bytes(bytes(shard.stat().st_size))
    images = PretrainingImages(Corpus(tiny_corpus / "corpus"), tiny_corpus / "data", tiny_recipe)
    with pytest.raises(InputError, match=r"one/03 in one/shards/000000\.tar is not an image.*publish its dataset anew"):
        images[(0, 3)]


def test_samples__of_another_epoch_or_seed_differ(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    corpus = Corpus(tiny_corpus / "corpus")
    images = PretrainingImages(corpus, tiny_corpus / "data", tiny_recipe)
    reseeded = PretrainingImages(corpus, tiny_corpus / "data", tiny_recipe.model_copy(update={"seed": 1}))
    assert not np.array_equal(images[(0, 3)][0], images[(1, 3)][0])
    assert not np.array_equal(images[(0, 3)][0], reseeded[(0, 3)][0])
