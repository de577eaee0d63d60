"""The fine-tuning process that torchrun starts: ``-m panderm.training.finetune_worker job.json``.

It goes on from the newest finished epoch, writes states, metrics and the best epoch's weights to the job's work folder, and
in the end ``final/``: the network that did best on the validation split.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from timm.data.mixup import Mixup
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # exported, but not by name
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from panderm.core.config import FrozenConfig
from panderm.core.errors import PanDermError, TrainingFailed
from panderm.core.files import building_folder, read_json, write_json
from panderm.core.tables import SPLIT, read_table
from panderm.imaging.batches import prepared_batches
from panderm.models.encoder import load_encoder
from panderm.models.heads import FineTunedNetwork
from panderm.models.pixels import normalise
from panderm.models.task_model import WEIGHTS, save_weights
from panderm.training.finetune_data import KEPT_BYTES, EpochDraws, TaskImages, collate, fitting_batch
from panderm.training.finetune_recipe import FineTuneRecipe
from panderm.training.launch import worker_main
from panderm.training.metrics import MetricsLog, read_metrics
from panderm.training.monitor import best_epoch, monitored, score
from panderm.training.place import Device, Place, Precision, joined
from panderm.training.schedule import learning_rate
from panderm.training.state import load_state, save_state, states

STATES, METRICS, BEST, FINAL = "states", "metrics.jsonl", "best", "final"
WEIGHTS_NAME, FINAL_NAME = WEIGHTS["fine_tuning"], "final.json"
_LOOK_EVERY = 20  # steps between two looks for a loss that is no number; each look waits for the GPU
_MIXING = 2  # stream of random numbers besides those of finetune_data


class Job(FrozenConfig):
    """One fine-tuning, resolved: what the stage hands to its processes.

    Attributes:
        recipe: everything that decides the weights.
        classes: labels in index order.
        split: the table of labelled images.
        data: folder of the published datasets.
        encoder: pretrain's output folder.
        work: states, metrics and the finished network go here.
        device: ``auto`` takes GPUs where there are any.
        workers: loading processes of each training process.
        threads: of torch in each process on a CPU; 0 shares the cores.
        precision: ``auto`` is bfloat16 autocast on a GPU, float32 on a CPU.
    """

    recipe: FineTuneRecipe
    classes: tuple[str, ...]
    split: Path
    data: Path
    encoder: Path
    work: Path
    device: Device = "auto"
    workers: int = 0
    threads: int = 0
    precision: Precision = "auto"


class Validation:
    """The validation split, shared among the processes; kept prepared in memory where it fits."""

    def __init__(self, job: Job, place: Place, frame: pd.DataFrame, spec: Any) -> None:
        self.job, self.place, self.spec, self.frame = job, place, spec, frame
        self.targets = frame["target"].to_numpy(dtype=np.int64)
        self._mine = frame.iloc[place.rank :: place.world]
        fits = len(self._mine) * 3 * spec.size**2 <= KEPT_BYTES
        self._kept = list(self._read()) if fits else None

    def _read(self) -> Iterator[NDArray[np.uint8]]:
        batch = max(1, self.job.recipe.batch // self.place.world)
        workers = max(1, self.job.workers)
        return prepared_batches(self._mine, self.job.data, self.spec, batch=batch, workers=workers, what="validate")

    @torch.inference_mode()
    def probabilities(self, network: nn.Module, autocast: AbstractContextManager[object]) -> NDArray[np.float64]:
        """Return the network's class probabilities of the whole split, (N, C); every process must ask."""
        network.eval()
        parts = [torch.zeros(0, len(self.job.classes), device=self.place.device)]
        for pixels in self._kept if self._kept is not None else self._read():
            with autocast:
                logits = network(normalise(torch.from_numpy(pixels).to(self.place.device), self.spec))
            parts.append(torch.softmax(logits.float(), dim=-1))
        whole = torch.zeros(len(self.frame), len(self.job.classes), device=self.place.device)
        whole[self.place.rank :: self.place.world] = torch.cat(parts)
        gathered: NDArray[np.float64] = (self.place.mean(whole) * self.place.world).double().cpu().numpy()
        return gathered


class FineTuning:
    """One process of a fine-tuning."""

    def __init__(self, job: Job, place: Place) -> None:
        self.job, self.place, self.recipe = job, place, job.recipe
        frame = read_table(job.split, SPLIT)
        encoder, card = load_encoder(job.encoder)
        self.spec = card.preprocessing
        train = frame[frame["split"] == "train"]
        self.images = TaskImages(train, job.data, self.spec, self.recipe)
        self.validation = Validation(job, place, frame[frame["split"] == "val"], self.spec)
        self.monitor = monitored(self.recipe.monitor, len(job.classes), self.validation.targets)
        self.batch = fitting_batch(len(train), self.recipe.batch, place.world)
        torch.manual_seed(self.recipe.seed)
        self.network = FineTunedNetwork(
            card.architecture, len(job.classes), self.recipe.drop_path, self.recipe.relative_position_bias
        )
        self.network.start_from(encoder)
        self.network.to(place.device)
        self.optimizer = self._optimizer()
        self.mix = self._mixing()

    def run(self) -> None:
        """Train the epochs that are missing and write ``final/``."""
        done = load_state(self.job.work / STATES, self.network, self.optimizer, self._say)
        draws = EpochDraws(self.images.targets, self.recipe, self.batch, done, self.place.rank, self.place.world)
        loader = DataLoader(
            self.images,
            batch_sampler=draws,  # type: ignore[arg-type]  # torch's type asks for integers
            num_workers=self.job.workers,
            collate_fn=collate,
            pin_memory=self.place.device.type == "cuda",
        )
        model = DistributedDataParallel(self.network) if self.place.world > 1 else self.network
        self._begin(done, draws.steps)
        metrics = MetricsLog(self.job.work / METRICS, done) if self.place.first else None
        batches = iter(loader)
        for epoch in range(done, self.recipe.epochs):
            loss = self._epoch(epoch, draws.steps, batches, model)
            rate = self._rate((epoch + 1) * draws.steps - 1, draws.steps)
            line = {"step": epoch + 1, "loss": loss, "score": self._score(), "learning_rate": rate}
            if metrics is not None:
                metrics.add(line)
                self._keep(metrics, epoch + 1)
            self._say(f"epoch {epoch + 1}/{self.recipe.epochs} loss {loss:.4f}, validation {self._told(line['score'])}")
        if metrics is not None:
            metrics.close()
            self._finish()

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = param_groups_layer_decay(
            self.network,
            weight_decay=self.recipe.weight_decay,
            no_weight_decay_list=self.network.no_weight_decay(),
            layer_decay=self.recipe.layer_decay,
        )
        return torch.optim.AdamW(groups, lr=self.recipe.learning_rate)

    def _mixing(self) -> Mixup | None:
        recipe = self.recipe
        if not recipe.mixup and not recipe.cutmix:
            return None
        return Mixup(  # type: ignore[no-untyped-call]
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            switch_prob=recipe.mix_switch,
            label_smoothing=recipe.label_smoothing,
            num_classes=len(self.job.classes),
        )

    def _rate(self, step: int, steps: int) -> float:
        return learning_rate(
            step,
            steps=steps * self.recipe.epochs,
            warmup=round(self.recipe.warmup_epochs * steps),
            peak=self.recipe.learning_rate,
            lowest=self.recipe.min_learning_rate,
        )

    def _epoch(self, epoch: int, steps: int, batches: Iterator[tuple[Tensor, Tensor]], model: nn.Module) -> float:
        """Train one epoch and return its mean loss."""
        seed = int(np.random.SeedSequence([self.recipe.seed, _MIXING, epoch, self.place.rank]).generate_state(1)[0])
        torch.manual_seed(seed)
        np.random.seed(seed)  # timm's Mixup draws from numpy's global generator
        model.train()
        total = torch.zeros((), device=self.place.device)
        for step in range(steps):
            pixels, targets = _next(batches)
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate(epoch * steps + step, steps) * group["lr_scale"]
            with self.place.autocast(self.job.precision):
                loss = self._loss(pixels.to(self.place.device), targets.to(self.place.device), model)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach()
            if (step + 1) % _LOOK_EVERY == 0 or step + 1 == steps:
                self._look(total, epoch)
        return float(self.place.mean(total / steps))

    def _loss(self, pixels: Tensor, targets: Tensor, model: nn.Module) -> Tensor:
        images = normalise(pixels, self.spec)
        if self.mix is None:
            return nn.functional.cross_entropy(model(images), targets, label_smoothing=self.recipe.label_smoothing)
        mixed, soft = self.mix(images, targets)
        return nn.functional.cross_entropy(model(mixed), soft)

    def _look(self, total: Tensor, epoch: int) -> None:
        if self.place.any(not math.isfinite(float(total))):
            raise TrainingFailed(
                f"the loss is no number any more in epoch {epoch + 1}; lower fine_tuning.learning_rate "
                f"(now {self.recipe.learning_rate:g}) or check the encoder, then run it again"
            )

    def _score(self) -> float:
        if self.monitor is None:
            return math.nan
        answers = self.validation.probabilities(self.network, self.place.autocast(self.job.precision))
        return score(self.monitor, self.validation.targets, answers)

    def _keep(self, metrics: MetricsLog, done: int) -> None:
        """Keep the network if it is the best so far, then the state; what a kept state may still need is not removed."""
        metrics.flush()
        lines = read_metrics(self.job.work / METRICS)
        home = self.job.work / BEST
        if best_epoch(lines) == done:
            save_weights(home / f"{done}.safetensors", self.network)
        save_state(self.job.work / STATES, done, self.network, self.optimizer)
        needed = {best_epoch(lines[: int(path.name)]) for path in states(self.job.work / STATES)}
        for path in home.glob("[0-9]*.safetensors"):
            if int(path.stem) not in needed:
                path.unlink()

    def _finish(self) -> None:
        lines = read_metrics(self.job.work / METRICS)
        chosen = best_epoch(lines)
        facts = {
            "epoch": chosen,
            "monitor": self.monitor or "none: the last epoch, as the validation split cannot be scored",
            "score": None if self.monitor is None else lines[chosen - 1]["score"],
            "batch": self.batch,
            "train_images": len(self.images),
            "val_images": len(self.validation.targets),
        }
        with building_folder(self.job.work / FINAL) as folder:
            shutil.copyfile(self.job.work / BEST / f"{chosen}.safetensors", folder / WEIGHTS_NAME)
            write_json(folder / FINAL_NAME, facts)

    def _begin(self, done: int, steps: int) -> None:
        where = f"{self.place.world} process(es) on {self.place.device.type}"
        self._say(f"fine-tuning on {len(self.images)} images, {self.recipe.epochs} epochs of {steps} x {self.batch}, {where}")
        if done:
            self._say(f"going on after epoch {done} from the saved state")

    def _told(self, value: float) -> str:
        return f"{self.monitor} {value:.4f}" if self.monitor else "not scored"

    def _say(self, line: str) -> None:
        if self.place.first:
            print(line, flush=True)


def _next(batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the next batch; an error for the user keeps its one sentence on its way out of a loading process."""
    try:
        return next(batches)
    except PanDermError as error:
        sentence = str(error).strip().splitlines()[-1]
        raise type(error)(sentence.partition("Error: ")[2] or sentence) from error


def run(config_path: Path) -> None:
    """Read the job and fine-tune."""
    job = Job.parse(read_json(config_path), where=str(config_path))
    with joined(job.device, job.threads) as place:
        FineTuning(job, place).run()


if __name__ == "__main__":
    worker_main(run)
