from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from panderm.core.errors import InputError
from panderm.training import power
from panderm.training.dry_run import DryRun
from panderm.training.launch import TrainingStopped
from panderm.training.place import ALONE
from panderm.training.pretrain_worker import Job, Pretraining
from panderm.training.recipe import Recipe
from panderm.training.state import states
from panderm.training.watch_config import WatchConfig


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(folder: Path, recipe: Recipe, work: str = "dry") -> Job:
    (folder / work).mkdir()
    watch = WatchConfig(images=0, probe_tasks=())
    facts = {"preset": "tiny", "corpus": folder / "corpus", "corpus_sha256": "c" * 64, "data": folder / "data"}
    return Job(recipe=recipe, work=folder / work, device="cpu", threads=1, workers=0, watch=watch, **facts)  # type: ignore[arg-type]


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_dry_run__measures_some_steps_and_keeps_nothing(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    dry = job(tiny_corpus, tiny_recipe)
    seen = DryRun(dry, ALONE, steps=5).measure()
    assert seen is not None
    assert (seen.skipped, len(seen.step_seconds), seen.steps, seen.steps_per_epoch, seen.batch) == (3, 5, 24, 6, 4)
    assert 0 <= seen.data_wait <= 1
    assert all(seconds > 0 for seconds in seen.step_seconds)
    assert (seen.device, seen.watts) == ("cpu", None)
    assert not (dry.work / "states").exists()
    assert not (dry.work / "final").exists()
    assert seen.shard_bytes == sum(path.stat().st_size for path in tiny_corpus.glob("data/*/shards/*.tar"))


def test_dry_run__sizes_are_those_of_the_real_files(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    seen = DryRun(job(tiny_corpus, tiny_recipe), ALONE, steps=2).measure()
    real = job(tiny_corpus, tiny_recipe, "real")
    Pretraining(real, ALONE).run()
    assert seen is not None
    assert seen.state_bytes == pytest.approx(
        size(states(real.work / "states")[-1]), rel=0.1
    )  # headers weigh in so small a model
    assert seen.result_bytes == pytest.approx(size(real.work / "final"), rel=0.1)


def test_dry_run__a_training_shorter_than_asked_is_measured_to_its_end(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    short = tiny_recipe.model_copy(update={"optimisation": tiny_recipe.optimisation.model_copy(update={"epochs": 1})})
    seen = DryRun(job(tiny_corpus, short), ALONE, steps=50).measure()
    assert seen is not None
    assert (seen.steps, seen.skipped, len(seen.step_seconds)) == (6, 3, 3)


def test_dry_run__stopped_before_the_end_says_so(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    running = DryRun(job(tiny_corpus, tiny_recipe), ALONE, steps=5)
    running.teller.tell = lambda line: running.stop() if line["step"] == 2 else None  # type: ignore[method-assign]
    with pytest.raises(TrainingStopped, match="stopped after step 2; nothing was kept"):
        running.measure()


def test_dry_run__a_shard_that_a_later_epoch_would_miss_is_named(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    (tiny_corpus / "data/two/shards/000000.tar").unlink()
    with pytest.raises(InputError, match=r"two/shards/000000\.tar is missing; fetch it with `dvc pull`"):
        DryRun(job(tiny_corpus, tiny_recipe), ALONE, steps=1)


@pytest.mark.parametrize(("told", "watts"), [("612.34", 612.34), ("[N/A]", None)])
def test_draw__asks_the_board_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, watts: float | None
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "{told}"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(uuid="abc-1"))
    assert power.draw(torch.device("cuda", 0)) == watts
    assert "-i GPU-abc-1" in (tmp_path / "asked").read_text()


def test_power_meter__without_a_gpu_reads_nothing() -> None:
    with power.PowerMeter(torch.device("cpu")) as meter:
        pass
    assert meter.watts is None
