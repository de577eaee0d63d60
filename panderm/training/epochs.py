"""Training by epochs with a choice on validation: states after each epoch, the best epoch kept, exact after a kill.

For the trainings that are no plain image classification (masks, pairs, bags of tiles); each brings a :class:`EpochFit` and
its own data. What happens in an epoch follows from (seed, epoch), so that a resumed run ends in the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from panderm.core.errors import TrainingFailed
from panderm.models.task_model import save_weights
from panderm.training.metrics import MetricsLog, read_metrics
from panderm.training.monitor import best_epoch
from panderm.training.state import load_state, save_state, states

STATES, METRICS, BEST = "states", "metrics.jsonl", "best"


class EpochFit(Protocol):
    """A training as the loop sees it.

    Attributes:
        network: what is trained.
        optimizer: of its parameters.
        epochs: how many there are.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int

    def epoch(self, number: int) -> float:
        """Train one epoch (0, 1, ...) and return its mean loss."""

    def score(self) -> float:
        """Return how good the network is on validation, larger is better; NaN where that cannot be said."""


class Chosen(NamedTuple):
    """The outcome of a training.

    Attributes:
        weights: safetensors file of the best epoch.
        epoch: which that is, from 1; the last one where nothing could be scored.
        score: on validation.
        lines: one an epoch: ``step`` (from 1), ``loss``, ``score``.
    """

    weights: Path
    epoch: int
    score: float
    lines: list[dict[str, Any]]


def train_epochs(
    fit: EpochFit, work: Path, say: Callable[[str], None], what: str = "epoch", patience: int | None = None
) -> Chosen:
    """Train the epochs that ``work`` lacks and return the best.

    Args:
        fit: the training.
        work: folder of states, metrics and best weights; a former call's are gone on from.
        say: gets a line an epoch.
        what: first word of those lines.
        patience: epochs without a better score after which the training ends early; None trains all.

    Raises:
        TrainingFailed: the loss is no number any more; the last finite state stays.
    """
    done = load_state(work / STATES, fit.network, fit.optimizer, say)
    metrics = MetricsLog(work / METRICS, done)
    for number in range(done, fit.epochs):
        if patience and number and number - best_epoch(read_metrics(work / METRICS)) >= patience:
            say(f"{what} {number}/{fit.epochs}: no better for {patience} epochs")
            break
        loss = fit.epoch(number)
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss is no number any more in epoch {number + 1}; lower the learning rate and run again")
        score = fit.score()
        metrics.add({"step": number + 1, "loss": loss, "score": score})
        _keep(fit, metrics, work, number + 1)
        told = "not scored" if math.isnan(score) else f"validation {score:.4f}"
        say(f"{what} {number + 1}/{fit.epochs} loss {loss:.4f}, {told}")
    metrics.close()
    lines = read_metrics(work / METRICS)
    chosen = best_epoch(lines)
    return Chosen(work / BEST / f"{chosen}.safetensors", chosen, lines[chosen - 1]["score"], lines)


def _keep(fit: EpochFit, metrics: MetricsLog, work: Path, done: int) -> None:
    """Keep the network if it is the best so far, then the state; what a kept state may still need is not removed."""
    metrics.flush()
    lines = read_metrics(work / METRICS)
    if best_epoch(lines) == done:
        save_weights(work / BEST / f"{done}.safetensors", fit.network)
    save_state(work / STATES, done, fit.network, fit.optimizer)
    needed = {best_epoch(lines[: int(path.name)]) for path in states(work / STATES)}
    for path in (work / BEST).glob("[0-9]*.safetensors"):
        if int(path.stem) not in needed:
            path.unlink()
