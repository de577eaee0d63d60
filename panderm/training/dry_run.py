"""A few steps of a pretraining, measured: ``-m panderm.training.dry_run job.json``, started by torchrun as the training is.

Everything is real (processes, network, teacher, loader, optimiser) but nothing is kept: no state, no encoder.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import read_json, write_json
from panderm.training.data import PREFETCH, Corpus
from panderm.training.estimate import Measured
from panderm.training.launch import TrainingStopped, end_in_order, worker_main
from panderm.training.metrics import MetricsLog, read_metrics
from panderm.training.place import Place, joined
from panderm.training.power import PowerMeter
from panderm.training.pretrain_worker import METRICS, Job, Pretraining
from panderm.training.schedule import trainable
from panderm.training.telling import Teller

MEASURED = "measured.json"
_FLOAT = 4  # bytes; weights and moments are float32 everywhere
_WARMING = 3  # steps in which allocators, autotuning and the first graphs settle


class DryJob(FrozenConfig):
    """What to measure.

    Attributes:
        job: the training; its ``work`` is a folder that nobody else needs.
        steps: to count.
    """

    job: Job
    steps: int = Field(gt=0)


class _Teller(Teller):
    """Tells the same lines, but speaks of no state."""

    def end(self, step: int) -> None:
        self.say(f"dry run ended after step {step}; nothing was kept")


class DryRun(Pretraining):
    """One process of a training that stops after some steps and keeps nothing.

    Args:
        job: what to train.
        place: this process.
        steps: to count, after the first ones.
        asked: whether this process has been asked to stop.
    """

    def __init__(self, job: Job, place: Place, steps: int, asked: Callable[[], bool] = lambda: False) -> None:
        super().__init__(job, place, asked)
        self.shard_bytes = _shard_bytes(self.corpus, job.data)
        self.teller = _Teller(place.first, job.tell_seconds, self.steps, job.recipe.optimisation.batch)
        self.skipped = min(_WARMING + PREFETCH * job.workers, max(self.steps - steps, self.steps // 2))
        self.last = min(self.steps, self.skipped + steps)
        self.began: list[float] = []  # of each step, and the end of the last
        self.meter = PowerMeter(place.device)

    def measure(self) -> Measured | None:
        """Run; return what was seen, in the first process. Every process must call this.

        Raises:
            TrainingStopped: it was asked to stop before enough steps were taken.
        """
        with self.meter:
            self.run()
        if self.step < self.last:
            raise TrainingStopped(f"the dry run was stopped after step {self.step}; nothing was kept")
        watts = self.meter.watts
        drawn = self.place.mean(torch.tensor(math.nan if watts is None else watts, device=self.place.device)).item()
        return self._seen(None if math.isnan(drawn) else drawn) if self.place.first else None

    def _seen(self, watts: float | None) -> Measured:
        lines = read_metrics(self.job.work / METRICS)[self.skipped : self.last]
        times = self.began[self.skipped : self.last + 1]
        waited = sum(line["seconds"] * line["data_wait"] for line in lines)
        values = sum(tensor.numel() for tensor in self.model.state_dict().values())
        moments = 2 * sum(parameter.numel() for _, parameter in trainable(self.model))
        gpu = self.place.device.type == "cuda"
        return Measured(
            device=torch.cuda.get_device_name(self.place.device) if gpu else "cpu",
            processes=self.place.world,
            cores=min(torch.get_num_threads() + self.job.workers, len(os.sched_getaffinity(0))),
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
            batch=self.recipe.optimisation.batch,
            skipped=self.skipped,
            step_seconds=tuple(end - start for start, end in pairwise(times)),
            data_wait=min(1.0, waited / (times[-1] - times[0])),
            watts=watts,
            peak_memory=_peak_memory(self.place.device),
            state_bytes=_FLOAT * (values + moments),
            result_bytes=_FLOAT * values,
            shard_bytes=self.shard_bytes,
            metric_bytes=os.path.getsize(self.job.work / METRICS) // self.last,
        )

    def _stopping(self) -> bool:
        self.began.append(time.monotonic())
        if self.step == self.skipped:
            self.meter.readings.clear()
        return self.step >= self.last or super()._stopping()

    def _due(self, saved: float) -> bool:  # noqa: ARG002 - the signature is the training's
        return False

    def _save(self, metrics: MetricsLog | None) -> None:
        self.began += [time.monotonic()] if self.step == self.steps else []
        if metrics:
            metrics.flush()

    def _finish(self) -> None:
        pass


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _shard_bytes(corpus: Corpus, data: Path) -> int:
    """Return the size of every shard that the training will read.

    Raises:
        InputError: one is missing, which the training would find out in the middle of an epoch.
    """
    for shard in corpus.shards:
        if not (data / shard).is_file():
            raise InputError(f"{data / shard} is missing; fetch it with `dvc pull`")
    return sum(os.path.getsize(data / shard) for shard in corpus.shards)


def run(config_path: Path) -> None:
    """Read what to measure, measure, and write ``measured.json``."""
    asked = DryJob.parse(read_json(config_path), where=str(config_path))
    with joined(asked.job.device, asked.job.threads) as place:
        training = DryRun(asked.job, place, asked.steps, end_in_order(place.wait))
        measured = training.measure()
        if measured is not None:
            write_json(asked.job.work / MEASURED, measured.model_dump(mode="json"))
        place.wait()


if __name__ == "__main__":
    worker_main(run)
