from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from panderm.core.tables import CORPUS, SPLIT, read_table, write_table
from panderm.training.curves import draw_curves
from panderm.training.metrics import read_metrics, without_timing
from panderm.training.place import Place
from panderm.training.pretrain_worker import FINAL, METRICS, REGRESSOR_NAME, Job, Pretraining
from panderm.training.recipe import Recipe
from panderm.training.watch import WATCH, _fixed_rows, _share, last_figures

HERE = Place(rank=0, world=1, device=torch.device("cpu"))
OFF = {"images": 0, "probe_tasks": ()}
OFTEN = {"every_epochs": 1, "probe_every_epochs": 2, "probe_images": 12}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def splits(shared_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task on the corpus's own images (a test may), a third of them test images whose place names no shard."""
    folder = tmp_path_factory.mktemp("splits")
    frame = read_table(shared_corpus / "corpus" / "corpus.parquet", CORPUS)
    frame["split"] = ["train", "val", "test"] * 8
    frame["target"] = (frame["modality"] == "tbp").astype(int)
    frame["label"] = frame["modality"]
    frame["image_id"] = frame["dataset"] + frame["image_id"]
    frame.loc[frame["split"] == "test", "shard"] = "nowhere.tar"  # reading one would raise
    write_table(folder / "ham10000" / "split.parquet", frame, SPLIT)
    return folder


@pytest.fixture(scope="module")
def make(
    shared_corpus: Path, tiny_recipe: Recipe, splits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Pretraining]:
    def one(recipe: Recipe = tiny_recipe, work: Path | None = None, **watch: Any) -> Pretraining:
        job = Job(
            recipe=recipe,
            preset="tiny",
            corpus=shared_corpus / "corpus",
            corpus_sha256="c" * 64,
            data=shared_corpus / "data",
            work=work or tmp_path_factory.mktemp("work"),
            device="cpu",
            workers=0,
            threads=1,
            watch=watch or OFTEN,
            splits=splits,
        )
        return Pretraining(job, HERE)

    return one


@pytest.fixture(scope="module")
def watched(make: Callable[..., Pretraining]) -> Path:
    """The work folder of a finished run."""
    running = make()
    running.run()
    return running.job.work


def test_watcher__looks_at_start_and_end_and_in_between(watched: Path) -> None:
    looks = read_metrics(watched / WATCH)
    assert [look["step"] for look in looks] == [0, 6, 12, 18, 24]
    assert [look["step"] for look in looks if "probe" in look] == [0, 12, 24]
    for look in looks:
        assert set(look["by_modality"]) == {"clinical", "tbp"}
        assert look["loss"] == pytest.approx(np.mean(list(look["by_modality"].values())), abs=1e-5)
        assert 0 < look["feature_std"] < 1.1
        assert 1 <= look["effective_rank"] <= look["rank_limit"] == 15
    assert looks[-1]["loss"] < 0.6 * looks[0]["loss"]
    assert 0 <= looks[-1]["probe"]["ham10000"] == looks[-1]["probe_mean"] <= 1


def test_watcher__a_healthy_run_is_not_warned_of(watched: Path) -> None:
    assert [look["warnings"] for look in read_metrics(watched / WATCH)] == [[]] * 5


def test_watcher__leaves_the_weights_as_they_are_without_it(watched: Path, make: Callable[..., Pretraining]) -> None:
    unseen = make(**OFF)
    unseen.run()
    assert read_metrics(unseen.job.work / WATCH) == []
    for name in ("encoder.safetensors", REGRESSOR_NAME):
        assert (watched / FINAL / name).read_bytes() == (unseen.job.work / FINAL / name).read_bytes()
    assert without_timing(read_metrics(watched / METRICS)) == without_timing(read_metrics(unseen.job.work / METRICS))


@pytest.mark.parametrize("stop_after", [6, 13])
def test_watcher__a_resumed_run_saw_the_same(
    watched: Path, make: Callable[..., Pretraining], tmp_path: Path, stop_after: int
) -> None:
    first = make(work=tmp_path)
    first.teller.tell = lambda line: first.stop() if line["step"] == stop_after else None  # type: ignore[method-assign]
    first.run()
    assert read_metrics(tmp_path / WATCH)[-1]["step"] <= stop_after
    make(work=tmp_path).run()
    assert without_timing(read_metrics(tmp_path / WATCH)) == without_timing(read_metrics(watched / WATCH))


def test_watcher__leaves_the_model_in_training_mode(make: Callable[..., Pretraining]) -> None:
    running = make()
    assert running.model.training
    assert running.watcher.look(0) > 0
    assert all(module.training for module in running.model.modules())
    assert running.watcher.look(1) == 0


def test_watcher__warns_of_a_deliberate_collapse(
    make: Callable[..., Pretraining], tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Targets that are the same whatever the image: the loss falls to nothing, and so does what the encoder knows."""
    optimisation = tiny_recipe.optimisation.model_copy(update={"epochs": 12})
    running = make(tiny_recipe.model_copy(update={"optimisation": optimisation}))
    constant = torch.randn(1, 1, running.teacher.width, generator=torch.Generator().manual_seed(0))
    running.teacher.forward = lambda images: constant.expand(len(images), 17, -1)  # type: ignore[method-assign]
    running.run()
    looks = read_metrics(running.job.work / WATCH)
    assert looks[-1]["loss"] < 0.1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert any("feature deviation" in line and "nearly the same vector (collapse)" in line for line in said), looks
    assert len(said) == len(set(said)) <= 3  # each once, not at every look
    assert any("collapse" in sentence for sentence in last_figures(looks)["warnings"])


def test_last_figures__are_plain_numbers_that_can_be_plotted(watched: Path) -> None:
    figures = last_figures(read_metrics(watched / WATCH))
    assert figures.pop("warnings") == []
    assert set(figures) == {
        *("feature_std", "effective_rank", "neighbour_within", "neighbour_across"),
        *("loss_tbp", "loss_clinical", "probe_balanced_accuracy", "probe_ham10000"),
    }
    assert all(isinstance(value, float) for value in figures.values())
    assert last_figures([]) == {"warnings": []}


def test_metrics__name_the_loss_of_each_modality_in_the_batch(watched: Path) -> None:
    for line in read_metrics(watched / METRICS):
        assert set(line["by_modality"]) <= {"tbp", "clinical"}
        assert min(line["by_modality"].values()) <= line["loss"] + 1e-6 <= max(line["by_modality"].values()) + 2e-6


def test_fixed_rows__take_modalities_alike_and_do_not_change() -> None:
    modalities = np.array(["tbp"] * 90 + ["clinical"] * 4)
    rows = _fixed_rows(modalities, 20)
    assert pd.Series(modalities[rows]).value_counts().to_dict() == {"tbp": 16, "clinical": 4}
    assert np.array_equal(rows, _fixed_rows(modalities, 20))
    assert len(_fixed_rows(modalities, 0)) == 0


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_share__is_of_one_size_for_all_and_leaves_nothing_out(world: int) -> None:
    shares = [_share(11, Place(rank, world, torch.device("cpu"))) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert set(np.concatenate(shares).tolist()) == set(range(11))


def test_interval__follows_from_the_share_where_none_is_set(make: Callable[..., Pretraining]) -> None:
    watcher = make().watcher
    watcher.steps, watcher.steps_per_epoch = 559_500, 1_119
    assert watcher._interval(2.5, 0, 1, 5) == 2798
    assert watcher._interval(0, budget=1e7, cost=238, least=5) == 1_119  # the paper's run: every epoch
    assert watcher._interval(0, budget=2000, cost=200, least=5) == -(-559_500 // 9)
    assert watcher._interval(0, budget=0, cost=200, least=5) == 559_500 // 4


def test_draw_curves__gives_the_same_bytes_for_the_same_lines(watched: Path, tmp_path: Path) -> None:
    lines, looks = read_metrics(watched / METRICS), read_metrics(watched / WATCH)
    for name in ("one.png", "two.png"):
        draw_curves(lines, tmp_path / name, looks)
    draw_curves(lines, tmp_path / "unwatched.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size > (tmp_path / "unwatched.png").stat().st_size > 10_000
    assert json.dumps(looks)  # plain values only
