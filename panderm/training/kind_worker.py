"""A training of a kind of task in a process of its own: ``-m panderm.training.kind_worker job.json``.

The job names a module of this room with ``train(settings, work, place, say)``; what it leaves in ``work/final`` is the result.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from panderm.core.config import FrozenConfig
from panderm.core.files import read_json, sha256_json, write_json
from panderm.training.launch import TrainingStopped, launch, worker_main
from panderm.training.place import joined

FINAL = "final"
_IDENTITY, _JOB, _LOG = "identity.json", "job.json", "train.log"


class Job(FrozenConfig):
    """What the process is asked to do.

    Attributes:
        module: name in ``panderm.training``.
        settings: its settings, JSON values.
        work: where states and the result go.
        device: ``auto`` takes a GPU where there is one.
        threads: of torch on a CPU; 0 takes the machine's cores.
    """

    module: str
    settings: dict[str, Any]
    work: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0


def train_apart(job: Job, identity: dict[str, Any], say: Callable[[str], None]) -> Path:
    """Train in a process started by torchrun and return the folder of the result.

    A former result or an interrupted training of the same identity is used; one of another is thrown away.

    Args:
        job: what to train.
        identity: everything that decides the result: recipe, hashes of inputs.
        say: gets each line of progress.

    Raises:
        TrainingFailed: the training ended before its last epoch; the same call goes on.
    """
    _make_room(job.work, sha256_json(identity), say)
    if not (job.work / FINAL).is_dir():
        write_json(job.work / _JOB, job.model_dump(mode="json"))
        launch("panderm.training.kind_worker", job.work / _JOB, 1, job.work / _LOG, say)
    if not (job.work / FINAL).is_dir():
        raise TrainingStopped("the training was asked to stop; run the same command to go on from its last finished epoch")
    return job.work / FINAL


def clear(work: Path) -> None:
    """Forget a training; its log stays."""
    for path in work.iterdir() if work.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
    (work / _IDENTITY).unlink(missing_ok=True)


def _make_room(work: Path, identity: str, say: Callable[[str], None]) -> None:
    path = work / _IDENTITY
    if path.is_file() and read_json(path) != identity:
        say("an interrupted training with other settings, split or encoder is thrown away")
        clear(work)
    if not path.is_file():
        clear(work)
        write_json(path, identity)


def run(config_path: Path) -> None:
    """Read the job and train."""
    job = Job.parse(read_json(config_path), where=str(config_path))
    module = importlib.import_module(f"panderm.training.{job.module}")
    with joined(job.device, job.threads) as place:
        module.train(job.settings, job.work, place, _say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    worker_main(run)
