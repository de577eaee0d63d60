"""Looks at an encoder while it is trained: held-out loss by modality, collapse signs, and a k-NN probe.

A look draws nothing, changes nothing and waits for nothing that training needs: weights are the same bit for bit with and
without it. Each process computes its share of the images; the first writes ``watch.jsonl`` and says what has turned bad.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from panderm.imaging.batches import prepared_batches
from panderm.models.alignment import MaskedAlignment
from panderm.models.pixels import normalise
from panderm.models.teacher import Teacher
from panderm.training.alarms import alarms
from panderm.training.data import Batch, Corpus, PretrainingImages, collate
from panderm.training.metrics import MetricsLog, read_metrics
from panderm.training.place import Place
from panderm.training.probe import Labelled, balanced_accuracy, labelled, probed_tasks, spread
from panderm.training.recipe import Recipe
from panderm.training.signs import signs
from panderm.training.telling import Teller
from panderm.training.watch_config import WatchConfig

WATCH = "watch.jsonl"
LOOK_COST, PROBE_COST = 0.93, 0.36
"""Computation of an image in a look (all patches, half of them with regressor, teacher) and in a probe (all patches), over
that of an image in training: (122.2 + 73.2 + 123.3) and 122.2 of 342.9 GFLOPs with the large preset."""

_LEAST_LOOKS, _LEAST_PROBES = 5, 3
_LEAST_IMAGES, _LEAST_PROBED = 16, 48  # below these a figure says nothing
_NEVER = 2**31 - 1  # an epoch that no training reaches: its crops and masks are the fixed ones of the looks
_BATCH = 64  # images a forward pass; no gradients are kept, so this fits wherever training does


class Sources(NamedTuple):
    """Folders of a watched training.

    Attributes:
        data: the published datasets.
        splits: the tasks' splits; without them nothing is probed.
        work: gets ``watch.jsonl``.
    """

    data: Path
    splits: Path | None
    work: Path


class Watcher:
    """Looks at an encoder from time to time; every process of a training has one and calls it alike.

    Args:
        config: what to look at, and how often.
        recipe: of the training.
        place: this process.
        model: the network, not compiled, sharded where the training shards it.
        teacher: gives the targets of the held-out loss.
        corpus: where the fixed images come from.
        sources: where images and splits are, and where ``watch.jsonl`` goes.
        steps_per_epoch: of the training.
        start: steps done so far.
        teller: gets a line for every sign that turns bad.
    """

    def __init__(
        self,
        config: WatchConfig,
        recipe: Recipe,
        place: Place,
        model: MaskedAlignment,
        teacher: Teacher,
        corpus: Corpus,
        sources: Sources,
        steps_per_epoch: int,
        start: int,
        teller: Teller,
    ) -> None:
        self.recipe, self.place, self.model, self.teacher = recipe, place, model, teacher
        self.corpus, self.data, self.teller = corpus, sources.data, teller
        self.steps = steps_per_epoch * recipe.optimisation.epochs
        self.steps_per_epoch = steps_per_epoch
        self.warmup = recipe.optimisation.warmup_epochs * steps_per_epoch
        self.rows = _fixed_rows(corpus.modalities, min(config.images, max(_LEAST_IMAGES, len(corpus) // 8)))
        self.tasks = _tasks(config, sources.splits, max(_LEAST_PROBED, min(config.probe_images, len(corpus) // 4)))
        trained = self.steps * recipe.optimisation.batch
        probed = sum(len(task.frame) for task in self.tasks)
        self.every = self._interval(config.every_epochs, config.share / 2 * trained, LOOK_COST * len(self.rows), _LEAST_LOOKS)
        self.every_probe = self._interval(
            config.probe_every_epochs, config.share / 2 * trained, PROBE_COST * probed, _LEAST_PROBES
        )
        self.seconds = 0.0
        self._batches: list[Batch] = []
        self._pixels: dict[str, Tensor] = {}
        # A step that was looked at just before a stop is looked at again: the weights are the same, so are the figures.
        self._log = MetricsLog(sources.work / WATCH, start - 1) if place.first else None
        self._former = read_metrics(sources.work / WATCH) if place.first else []
        register_fsdp_forward_method(model, "class_token")  # of a model that is not sharded this changes nothing

    def _interval(self, epochs: float, budget: float, cost: float, least: int) -> int:
        """Return the steps between two looks."""
        if epochs:
            return max(1, round(epochs * self.steps_per_epoch))
        looks = max(least, int(budget / max(cost, 1e-9)))
        return max(self.steps_per_epoch, math.ceil(self.steps / max(1, looks - 1)))

    def look(self, step: int) -> float:
        """Look after ``step`` steps, if it is time; every process must call this with the same steps.

        Returns:
            Seconds that it took.
        """
        signs_due = bool(len(self.rows)) and self._due(step, self.every)
        probe_due = bool(self.tasks) and self._due(step, self.every_probe)
        if not (signs_due or probe_due):
            return 0.0
        began = time.monotonic()
        line: dict[str, Any] = {"step": step, "epoch": round(step / self.steps_per_epoch, 4)}
        with _looking(self.model):
            if signs_due:
                line |= self._signs(step)
            if probe_due:
                line |= self._probe()
        spent = time.monotonic() - began
        self.seconds += spent
        self._write(line, spent)
        return spent

    def flush(self) -> None:
        """Bring the lines to the disk; called before a state is saved, as a look before it is not taken again.

        Raises:
            InputError: the disk is full, say; the lines are kept until it takes them.
        """
        if self._log:
            self._log.flush()

    def close(self) -> None:
        """Bring the lines to the disk and close the file."""
        if self._log:
            self._log.close()

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps

    def _write(self, line: dict[str, Any], spent: float) -> None:
        if not self._log:
            return
        before = {kind for kind, _ in alarms(self._former)}
        raised = alarms([*self._former, line])
        line["warnings"] = [sentence for _, sentence in raised]
        self._former.append(line)
        self._log.add(line | {"seconds": round(spent, 4)})
        for kind, sentence in raised:
            if kind not in before:
                self.teller.say(f"warning: {sentence}")

    def _signs(self, step: int) -> dict[str, Any]:
        """Return the loss on the fixed images, over all and by modality, and the signs of their class tokens."""
        if not self._batches:
            self._batches = list(self._fixed())
        parts = [torch.cat([self._losses(batch).unsqueeze(1), self._tokens(batch.student)], 1) for batch in self._batches]
        found = self._whole(parts, len(self.rows))
        losses, modalities = found[:, 0], self.corpus.modalities[self.rows]
        seen = signs(found[:, 1:], modalities)
        names = sorted(set(modalities.tolist()))
        return {
            "loss": _rounded(losses.mean()),
            "by_modality": {name: _rounded(losses[modalities == name].mean()) for name in names},
            **{name: _rounded(value) for name, value in seen._asdict().items()},
            "rank_limit": min(len(self.rows) - 1, self.recipe.encoder.width),
            "settled": step > self.warmup,
        }

    def _probe(self) -> dict[str, Any]:
        """Return balanced accuracies by task, their mean, and that mean's standard error."""
        found, variance = {}, 0.0
        for task in self.tasks:
            pixels = self._prepared(task)
            parts = [self._tokens(pixels[first : first + _BATCH]) for first in range(0, len(pixels), _BATCH)]
            value = balanced_accuracy(task, self._whole(parts, len(task.frame)))
            found[task.task] = _rounded(value)
            variance += value * (1 - value) / (len(task.frame) - task.train)
        mean = np.mean(list(found.values()))
        return {"probe": found, "probe_mean": _rounded(mean), "probe_error": _rounded(math.sqrt(variance) / len(found))}

    def _fixed(self) -> Iterator[Batch]:
        """Yield this process's share of the fixed images, rendered and masked as training would, the same at every look."""
        images = PretrainingImages(self.corpus, self.data, self.recipe)
        mine = _share(len(self.rows), self.place)
        for first in range(0, len(mine), _BATCH):
            yield collate([images[_NEVER, int(self.rows[index])] for index in mine[first : first + _BATCH]])

    def _prepared(self, task: Labelled) -> Tensor:
        """Return this process's share of a task's images, prepared as a finished encoder's, uint8 (n, 3, S, S)."""
        if task.task not in self._pixels:
            frame = task.frame.iloc[_share(len(task.frame), self.place)]
            batches = prepared_batches(frame, self.data, self.recipe.preprocessing, what=f"images of {task.task}")
            self._pixels[task.task] = torch.from_numpy(np.concatenate(list(batches)))
        return self._pixels[task.task]

    def _tokens(self, pixels: Tensor) -> Tensor:
        device = self.place.device
        images = normalise(pixels.to(device), self.recipe.preprocessing)
        with self.place.autocast(self.recipe.optimisation.precision):
            return self.model.class_token(images).float()

    def _losses(self, batch: Batch) -> Tensor:
        device = self.place.device
        moved = Batch(*(part.to(device) for part in batch))
        targets = self.teacher(normalise(moved.teacher, self.teacher.preprocessing))
        student = normalise(moved.student, self.recipe.preprocessing)
        with self.place.autocast(self.recipe.optimisation.precision):
            by_image: Tensor = self.model(student, moved.keep, moved.masked, targets).by_image
        return by_image.float()

    def _whole(self, parts: list[Tensor], count: int) -> NDArray[np.float32]:
        """Return the rows of all processes, (count, ...), in the images' order."""
        mine = torch.cat(parts)
        full = mine.new_zeros(count, *mine.shape[1:])
        index = torch.from_numpy(np.arange(self.place.rank, count, self.place.world))
        full[index.to(full.device)] = mine[: len(index)]
        found: NDArray[np.float32] = (self.place.mean(full) * self.place.world).cpu().numpy()
        return found


def last_figures(looks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a record says of the looks (lines of ``watch.jsonl``): the newest figures, and what was wrong at the end."""
    figures: dict[str, Any] = {}
    for look in looks:
        figures |= {name: look[name] for name in ("feature_std", "effective_rank") if name in look}
        figures |= {name: look[name] for name in ("neighbour_within", "neighbour_across") if look.get(name) is not None}
        figures |= {f"loss_{name}": value for name, value in look.get("by_modality", {}).items()}
        figures |= {"probe_balanced_accuracy": look["probe_mean"]} if "probe_mean" in look else {}
        figures |= {f"probe_{name}": value for name, value in look.get("probe", {}).items()}
    return figures | {"warnings": looks[-1]["warnings"] if looks else []}


def _share(count: int, place: Place) -> NDArray[np.int64]:
    """Return this process's places among ``count``: every world-th one, and the last again where others have one more.

    A sharded network computes in step, so all processes must make the same passes.
    """
    mine = np.arange(place.rank, count, place.world)
    return np.pad(mine, (0, -(-count // place.world) - len(mine)), constant_values=count - 1)


def _fixed_rows(modalities: NDArray[np.str_], count: int) -> NDArray[np.int64]:
    """Return rows of the corpus, the same for every run on it, so that runs can be compared."""
    frame = pd.DataFrame({"modality": modalities})
    return spread(frame, "modality", count, seed=0).index.to_numpy(dtype=np.int64)


def _tasks(config: WatchConfig, splits: Path | None, images: int) -> list[Labelled]:
    if splits is None:
        return []
    chosen = (labelled(splits, task, images) for task in probed_tasks(splits, config.probe_tasks))
    return [task for task in chosen if task is not None]


@contextmanager
def _looking(model: MaskedAlignment) -> Iterator[None]:
    """Compute without gradients and in evaluation mode, and leave the model as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        if isinstance(model, FSDPModule):
            model.reshard()


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
