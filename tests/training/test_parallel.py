from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from panderm.core.files import read_json, write_json
from panderm.training.launch import launch
from panderm.training.metrics import read_metrics, without_timing
from panderm.training.place import ALONE
from panderm.training.pretrain_worker import FINAL, METRICS, Job, Pretraining
from panderm.training.recipe import Recipe

pytestmark = pytest.mark.slow

TOLERANCE = 2e-6
"""Of losses of one process and two, which sum in another order; seen: 1.2e-7 after 24 steps. A gradient that is summed
where it should be averaged, or clipped by the norm of a shard, or another draw of stochastic depth, is off by 1e-3."""

# Two processes do one job after another; a name with "@" stops after that step, a broken job tells its error.
WORKER = """
import math
import torch
from panderm.core.errors import TrainingFailed
from panderm.core.files import read_json, write_json
from panderm.training.launch import worker_main
from panderm.training.place import joined
from panderm.training.pretrain_worker import Job, Pretraining

def run(config):
    with joined("cpu", 1) as place:
        for name, values in read_json(config):
            running = Pretraining(Job.parse(values), place)
            running.teller.speaks = False
            running.teller.tell = lambda line: running.stop() if f"@{line['step']}" in name else None
            if name == "broken":
                real = running.stepper.losses
                def losses(batch):
                    found = real(batch)
                    if (running.step, place.rank) != (3, 1):
                        return found
                    write_json(running.job.work / "bad.json", str(running.corpus.names[batch.rows[1]]))
                    bad = torch.arange(len(batch.rows)) == 1
                    by_image = torch.where(bad, math.nan, found.by_image)
                    return found._replace(total=found.total * math.nan, by_image=by_image)
                running.stepper.losses = losses
            try:
                running.run()
            except TrainingFailed as error:
                write_json(running.job.work / f"error-{place.rank}.json", str(error))

if __name__ == "__main__":
    worker_main(run)
"""

Runs = dict[str, Job]


@pytest.fixture(scope="module")
def runs(shared_corpus: Path, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One training by one process, and by two, in one launch: with copies, with shards, and with shards in several parts.

    With stochastic depth as in the presets `base` and `large`, in both networks.
    """
    folder = tmp_path_factory.mktemp("parallel")
    deeper = {"drop_path": 0.1, "regressor": tiny_recipe.regressor.model_copy(update={"drop_path": 0.1, "depth": 2})}

    def job(name: str, **settings: Any) -> Job:
        where = {"corpus": shared_corpus / "corpus", "data": shared_corpus / "data", "work": folder / name}
        made: dict[str, Any] = {"recipe": tiny_recipe.model_copy(update=deeper), "preset": "tiny", "corpus_sha256": "c" * 64}
        where["work"].mkdir()
        return Job(**made, **where, **({"threads": 1, "device": "cpu", "workers": 0, "parallel": "fsdp"} | settings))

    jobs = {name: job(name, checkpointing=name == "handed") for name in ("alone", "fsdp", "parted", "handed")}
    jobs |= {"ddp": job("ddp", parallel="ddp", workers=1), "broken": job("broken")}
    jobs |= {f"half_{way}": _halved(job(f"half_{way}", parallel=way)) for way in ("ddp", "fsdp")}
    Pretraining(jobs["alone"], ALONE).run()
    _stop_alone(jobs["handed"], 3)
    plan = [("ddp", "ddp"), ("fsdp", "fsdp"), ("parted@9", "parted"), ("parted", "parted"), ("handed@8", "handed")]
    plan += [("half_ddp", "half_ddp"), ("half_fsdp", "half_fsdp"), ("broken", "broken")]
    write_json(folder / "plan.json", [(name, jobs[key].model_dump(mode="json")) for name, key in plan])
    (folder / "several_trainings.py").write_text(WORKER)
    paths = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}", "OMP_NUM_THREADS": "1"}
    launch("several_trainings", folder / "plan.json", 2, folder / "train.log", environment=paths)
    Pretraining(jobs["handed"], ALONE).run()
    return jobs


def _halved(job: Job) -> Job:
    """Return the job with bfloat16 products, as every training on GPUs has them."""
    optimisation = job.recipe.optimisation.model_copy(update={"precision": "bf16"})
    return job.model_copy(update={"recipe": job.recipe.model_copy(update={"optimisation": optimisation})})


def _stop_alone(job: Job, step: int) -> None:
    running = Pretraining(job, ALONE)
    running.teller.tell = lambda line: running.stop() if line["step"] == step else None  # type: ignore[method-assign]
    running.run()


@pytest.mark.parametrize("name", ["ddp", "fsdp", "handed"])
def test_two_processes__see_the_batches_and_give_the_losses_of_one(runs: Runs, name: str) -> None:
    """``handed`` is done by one process to step 3, by two with shards to step 8, and by one again, with checkpointing."""
    alone, shared = (read_metrics(runs[key].work / METRICS) for key in ("alone", name))
    assert [line["batch"] for line in alone] == [line["batch"] for line in shared]
    for figure in ("loss", "grad_norm"):
        one, two = ([line[figure] for line in lines] for lines in (alone, shared))
        np.testing.assert_allclose(one, two, rtol=0, atol=TOLERANCE * (1 if figure == "loss" else 10), err_msg=figure)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes__in_half_precision_stay_near_float32_and_keep_float32_weights(runs: Runs, way: str) -> None:
    alone, half = (read_metrics(runs[key].work / METRICS) for key in ("alone", f"half_{way}"))
    assert [line["batch"] for line in alone] == [line["batch"] for line in half]
    exact, rounded = ([line["loss"] for line in lines] for lines in (alone, half))
    assert exact != rounded
    np.testing.assert_allclose(exact, rounded, rtol=0.01)  # seen: 0.0008
    assert {str(value.dtype) for value in load_file(runs[f"half_{way}"].work / FINAL / "encoder.safetensors").values()} == {
        "torch.float32"
    }


def test_shards__resumed_in_the_middle_of_an_epoch_are_bit_identical(runs: Runs) -> None:
    for name in ("encoder.safetensors", "regressor.safetensors", "encoder.json"):
        assert (runs["parted"].work / FINAL / name).read_bytes() == (runs["fsdp"].work / FINAL / name).read_bytes()
    texts = [without_timing(read_metrics(runs[key].work / METRICS)) for key in ("parted", "fsdp")]
    assert texts[0] == texts[1]


def test_shards__leave_the_files_of_one_process(runs: Runs) -> None:
    """All but the bias before the keys: a shift of all keys changes nothing, so its gradient is rounding noise."""
    for name in ("encoder.safetensors", "regressor.safetensors"):
        alone, shared = (load_file(runs[key].work / FINAL / name) for key in ("alone", "fsdp"))
        assert alone.keys() == shared.keys()
        for key in (key for key in alone if not key.endswith("norm_k.bias")):
            np.testing.assert_allclose(alone[key], shared[key], rtol=0, atol=1e-4, err_msg=key)


def test_shards__an_image_that_is_not_finite_in_one_process_stops_all_and_is_named_by_all(runs: Runs) -> None:
    work = runs["broken"].work
    told = [read_json(work / f"error-{rank}.json") for rank in (0, 1)]
    assert told[0] == told[1]
    assert told[0].startswith("step 3 gave a loss of ")
    assert f"on the batch {read_json(work / 'bad.json')}; the state before it is kept" in told[0]


def test_shards__what_is_not_finite_leaves_the_state_before_it(runs: Runs) -> None:
    """Without any state on the way: the default saves by time alone."""
    work = runs["broken"].work
    saved = sorted((work / "states").iterdir())[-1]
    assert saved.name == "00000003"
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(saved / "model.safetensors").values())
