from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from panderm.core.errors import ConfigError, TrainingFailed
from panderm.models.encoder import load_encoder
from panderm.training.metrics import read_metrics, without_timing
from panderm.training.place import Place
from panderm.training.pretrain_worker import FINAL, METRICS, REGRESSOR_NAME, Job, Pretraining
from panderm.training.recipe import Recipe
from panderm.training.state import states

GOLDEN = Path(__file__).parents[1] / "golden" / "pretrain_losses.json"
WRITE = "PANDERM_WRITE_GOLDEN"
HERE = Place(rank=0, world=1, device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job(folder: Path, recipe: Recipe, work: str = "work", **settings: Any) -> Job:
    place = folder / work
    place.mkdir(exist_ok=True)
    return Job(
        recipe=recipe,
        preset="tiny",
        corpus=folder / "corpus",
        corpus_sha256="c" * 64,
        data=folder / "data",
        work=place,
        threads=1,
        **({"workers": 0, "device": "cpu"} | settings),
    )


def outcome(job: Job) -> tuple[bytes, bytes, str]:
    final = job.work / FINAL
    weights = (final / "encoder.safetensors").read_bytes(), (final / REGRESSOR_NAME).read_bytes()
    return *weights, without_timing(read_metrics(job.work / METRICS))


def test_pretraining__twenty_steps_give_the_golden_losses(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    """A refactoring must leave these numbers; where a change is meant, run with PANDERM_WRITE_GOLDEN=1 and say why."""
    running = job(tiny_corpus, tiny_recipe)
    Pretraining(running, HERE).run()
    lines = read_metrics(running.work / METRICS)[:20]
    found = [[line[key] for key in ("loss", "class_token", "visible", "masked", "grad_norm")] for line in lines]
    if os.environ.get(WRITE):
        rounded = [[round(value, 7) for value in row] for row in found]
        GOLDEN.write_text("[\n" + ",\n".join("  " + json.dumps(row) for row in rounded) + "\n]\n")
    np.testing.assert_allclose(found, json.loads(GOLDEN.read_text()), rtol=0, atol=3e-5)


def stretched(recipe: Recipe, epochs: int) -> Recipe:
    return recipe.model_copy(update={"optimisation": recipe.optimisation.model_copy(update={"epochs": epochs})})


def test_pretraining__learns(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    running = job(tiny_corpus, stretched(tiny_recipe, epochs=12))
    Pretraining(running, HERE).run()
    losses = [line["loss"] for line in read_metrics(running.work / METRICS)]
    assert len(losses) == 72
    assert np.mean(losses[-6:]) < 0.5 * np.mean(losses[:3])


@pytest.mark.parametrize("stop_after", [1, 7, 23])
def test_pretraining__stopped_and_resumed_is_bit_identical(tiny_corpus: Path, tiny_recipe: Recipe, stop_after: int) -> None:
    whole, parted = job(tiny_corpus, tiny_recipe, "whole"), job(tiny_corpus, tiny_recipe, "parted")
    Pretraining(whole, HERE).run()
    first = Pretraining(parted, HERE)
    first.teller.tell = lambda line: first.stop() if line["step"] == stop_after else None  # type: ignore[method-assign]
    first.run()
    assert [path.name for path in states(parted.work / "states")] == [f"{stop_after:08d}"]
    assert not (parted.work / FINAL).exists()
    Pretraining(parted, HERE).run()
    assert outcome(whole) == outcome(parted)


def test_pretraining__leaves_an_encoder_that_loads(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    running = job(tiny_corpus, tiny_recipe)
    Pretraining(running, HERE).run()
    encoder, card = load_encoder(running.work / FINAL)
    assert encoder.class_token(torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    assert (card.preprocessing.size, card.preprocessing.resize) == (32, 37)
    assert (card.corpus_sha256, card.teacher, card.steps) == ("c" * 64, "random teacher: not clinically meaningful", 24)
    others = load_file(running.work / FINAL / REGRESSOR_NAME)
    assert {"regressor.mask_token", "head.norm.weight", "head.linear.weight"} <= others.keys()
    assert not any(name.startswith("encoder.") for name in others)


def break_step(running: Pretraining, step: int) -> None:
    """Make the loss of a step not-a-number."""
    real = running.stepper.losses

    def broken(batch: Any) -> Any:
        losses = real(batch)
        return losses._replace(total=losses.total * math.nan) if running.step == step else losses

    running.stepper.losses = broken  # type: ignore[method-assign]


@pytest.mark.parametrize("lag", [0, 1])
def test_pretraining__a_loss_that_is_not_finite_stops_at_once_with_the_state_before_it(
    tiny_corpus: Path, tiny_recipe: Recipe, lag: int
) -> None:
    """By default states are saved by time alone; this one is saved because of the loss. Gone on with, nothing is lost."""
    whole, parted = job(tiny_corpus, tiny_recipe, "whole"), job(tiny_corpus, tiny_recipe, "parted")
    Pretraining(whole, HERE).run()
    running = Pretraining(parted, HERE)
    running.stepper.lag = lag
    break_step(running, 3)
    with pytest.raises(TrainingFailed, match=r"step 3 gave a loss of nan.*on the batch (one|two)/\d\d.*state before it"):
        running.run()
    (saved,) = states(parted.work / "states")
    assert saved.name == "00000003"
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(saved / "model.safetensors").values())
    Pretraining(parted, HERE).run()
    assert outcome(whole) == outcome(parted)


def test_pretraining__weights_that_are_not_finite_replace_no_state(
    tiny_corpus: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    running = Pretraining(job(tiny_corpus, tiny_recipe, state_steps=2), HERE)

    def spoil(line: dict[str, Any]) -> None:
        if line["step"] == 3:
            next(running.model.parameters()).data.fill_(math.inf)

    running.teller.tell = spoil  # type: ignore[method-assign]
    with pytest.raises(TrainingFailed, match=r"step 3 gave a loss of nan"):
        running.run()
    assert [path.name for path in states(running.job.work / "states")] == ["00000002"]
    assert "warning: the weights are not finite either; the state saved before is kept" in capsys.readouterr().out


def test_pretraining__an_error_ends_its_loading_processes(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    """They do not follow SIGTERM, with which Python would ask them at its end, and wait."""
    running = Pretraining(job(tiny_corpus, tiny_recipe, workers=2), HERE)

    def broken(_batch: Any) -> Any:
        raise RuntimeError("out of memory, say")

    running.stepper.losses = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        running.run()
    assert multiprocessing.active_children() == []


def test_pretraining__a_batch_that_does_not_divide_is_refused(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match=r"optimisation.batch 4 does not divide among 3 processes"):
        Pretraining(job(tiny_corpus, tiny_recipe), HERE._replace(world=3))


def test_pretraining__goes_on_where_the_disk_is_full_and_resumes_from_the_last_good_state(
    tiny_corpus: Path, tiny_recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit of the kernel on the size of files stands for the disk; from step 8 to step 13 it takes no state."""
    whole, full = job(tiny_corpus, tiny_recipe, "whole"), job(tiny_corpus, tiny_recipe, "full", state_steps=2)
    Pretraining(whole, HERE).run()
    running = Pretraining(full, HERE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    found: list[list[str]] = []

    def tell(line: dict[str, Any]) -> None:
        if line["step"] == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        elif line["step"] == 13:
            found.append([path.name for path in states(full.work / "states")])
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        elif line["step"] == 15:
            running.stop()

    running.teller.tell = tell  # type: ignore[method-assign]
    try:
        running.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert found == [["00000004", "00000006"]]
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: cannot save")]
    assert len(warnings) == 3
    assert all("make room there; training goes on, the state saved before is kept" in line for line in warnings)
    assert [path.name for path in states(full.work / "states")] == ["00000014", "00000015"]
    Pretraining(full, HERE).run()
    assert outcome(whole) == outcome(full)


def test_pretraining__names_every_batch_by_its_samples(tiny_corpus: Path, tiny_recipe: Recipe) -> None:
    running = Pretraining(job(tiny_corpus, tiny_recipe), HERE)
    seen = [batch.rows.tolist() for batch in running._loader()]
    running.run()
    lines = read_metrics(running.job.work / METRICS)
    names = ["\n".join(running.corpus.names[rows]) for rows in seen]
    assert [line["batch"] for line in lines] == [hashlib.sha256(text.encode()).hexdigest()[:8] for text in names]
    assert len({line["batch"] for line in lines}) == len(lines)
