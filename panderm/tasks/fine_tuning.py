"""Fine-tuning as a stage sees it: hand a job to torchrun, go on where a killed one stopped, collect the finished network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from panderm.core.files import read_json, sha256_file, sha256_json, write_json
from panderm.training.finetune_worker import BEST, FINAL, FINAL_NAME, METRICS, STATES, WEIGHTS_NAME, Job
from panderm.training.launch import TrainingStopped, launch
from panderm.training.metrics import read_metrics

_IDENTITY, _JOB, _LOG = "identity.json", "job.json", "train.log"


class FineTuned(NamedTuple):
    """A finished fine-tuning.

    Attributes:
        weights: the network's file, in the work folder.
        facts: chosen epoch, its score, batch, image counts.
        lines: one a finished epoch: ``step``, ``loss``, ``score``, ``learning_rate``.
    """

    weights: Path
    facts: dict[str, Any]
    lines: list[dict[str, Any]]


def train(job: Job, processes: int, encoder_sha256: str, say: Callable[[str], None]) -> FineTuned:
    """Fine-tune in processes of its own, from the last finished epoch of a run with the same recipe, split and encoder.

    Raises:
        TrainingFailed: the training ended before its last epoch; the message carries why.
        TrainingStopped: it was asked to stop.
        Refused: another training uses the work folder.
    """
    identity = sha256_json(
        {
            "recipe": job.recipe.model_dump(mode="json"),
            "classes": list(job.classes),
            "split": sha256_file(job.split),
            "encoder": encoder_sha256,
        }
    )
    _make_room(job.work, identity, say)
    if not (job.work / FINAL).is_dir():
        write_json(job.work / _JOB, job.model_dump(mode="json"))
        launch("panderm.training.finetune_worker", job.work / _JOB, processes, job.work / _LOG, say)
    if not (job.work / FINAL).is_dir():
        raise TrainingStopped("the fine-tuning was asked to stop; run the same command to go on from its last finished epoch")
    final = job.work / FINAL
    return FineTuned(final / WEIGHTS_NAME, read_json(final / FINAL_NAME), read_metrics(job.work / METRICS))


def clear(work: Path) -> None:
    """Forget a training; its log and metrics stay until the next."""
    for name in (STATES, BEST, FINAL):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / _IDENTITY).unlink(missing_ok=True)


def _make_room(work: Path, identity: str, say: Callable[[str], None]) -> None:
    """Throw away what a run with another recipe, split or encoder left: minutes of work that nobody can use any more."""
    path = work / _IDENTITY
    if path.is_file() and read_json(path) != identity:
        say("an interrupted fine-tuning with other settings, split or encoder is thrown away")
        clear(work)
    if not path.is_file():
        clear(work)
        (work / METRICS).unlink(missing_ok=True)
        write_json(path, identity)
