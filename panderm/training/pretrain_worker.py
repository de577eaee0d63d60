"""The pretraining process that torchrun starts: ``-m panderm.training.pretrain_worker job.json``.

It goes on from the newest state, writes states and metrics to the job's work folder, and in the end ``final/``: the
encoder with its card, and the regressor with head and mask token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from panderm.core.config import FrozenConfig
from panderm.core.errors import ConfigError, InputError, PanDermError
from panderm.core.files import building_folder, read_json, write_json
from panderm.models.alignment import MaskedAlignment
from panderm.models.encoder import Encoder, EncoderCard, build_encoder, save_encoder
from panderm.models.regressor import Regressor
from panderm.models.teacher import Teacher, build_teacher
from panderm.training.data import Batch, Corpus, EpochBatches, PretrainingImages, batches_of, loader, steps_per_epoch
from panderm.training.interrupted import Changes
from panderm.training.launch import TrainingStopped, end_in_order, worker_main
from panderm.training.metrics import MetricsLog, batch_name
from panderm.training.parallel import Mode, gathered, replicate, shard, whole
from panderm.training.place import Place, joined
from panderm.training.recipe import Optimisation, Recipe
from panderm.training.schedule import decay_groups, learning_rate, trainable
from panderm.training.start import inherited, load_start
from panderm.training.state import load_state, save_state, states
from panderm.training.step import Figures, NotFinite, Stepper
from panderm.training.targets import agreed_precision
from panderm.training.telling import Teller
from panderm.training.watch import Sources, Watcher
from panderm.training.watch_config import WatchConfig

STATES, METRICS, FINAL = "states", "metrics.jsonl", "final"
REGRESSOR_NAME, FINAL_NAME = "regressor.safetensors", "final.json"


class Job(FrozenConfig):
    """One pretraining, resolved: what the stage hands to its processes.

    Attributes:
        recipe: everything that decides the weights.
        preset: where the recipe came from.
        corpus: folder of the corpus table.
        corpus_sha256: of that table.
        data: folder of the published datasets.
        work: where states, metrics and the result are written.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: loading processes of each training process.
        threads: torch's, of each training process; 0 shares the cores.
        compile: run student and teacher through torch.compile.
        checkpointing: keep only what enters each block of the student and compute the rest twice (less memory, more time).
        parallel: what several processes share: ``ddp`` nothing but the work, ``fsdp`` the memory too.
        state_seconds: time between two states.
        state_steps: steps between two states, 0 for time alone.
        tell_seconds: time between two lines of progress.
        watch: what is looked at on the way; changes no weight.
        splits: folder of the tasks' splits for the probe, none without.
        changes: of settings on the way, for the metrics.
    """

    recipe: Recipe
    preset: str
    corpus: Path
    corpus_sha256: str
    data: Path
    work: Path
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    compile: bool = False
    checkpointing: bool = False
    parallel: Mode = "ddp"
    state_seconds: float = Field(default=300, gt=0)
    state_steps: int = Field(default=0, ge=0)
    tell_seconds: float = Field(default=10, ge=0)
    watch: WatchConfig = WatchConfig()
    splits: Path | None = None
    changes: Changes = ()


def build_model(recipe: Recipe, teacher_width: int) -> MaskedAlignment:
    """Return encoder, regressor and head with weights that follow from the recipe's seed, or from its start."""
    torch.manual_seed(recipe.seed)
    encoder = build_encoder(recipe.encoder, recipe.drop_path)
    regressor = Regressor(recipe.regressor, recipe.encoder.width, recipe.encoder.grid)
    model = MaskedAlignment(encoder, regressor, teacher_width)
    if recipe.start is not None:
        load_start(model, recipe.start)
    return model


def build_optimizer(model: nn.Module, optimisation: Optimisation) -> torch.optim.Optimizer:
    """Return AdamW over what is trained in ``model``, fused: one kernel reads each value once, and clips it on the way."""
    return torch.optim.AdamW(
        decay_groups(model, optimisation.weight_decay, optimisation.decay_tokens),
        lr=optimisation.learning_rate,
        betas=(optimisation.beta_1, optimisation.beta_2),
        fused=True,
    )


class Pretraining:
    """One process of a pretraining: model, optimiser, data and how far they are.

    Args:
        job: what to train.
        place: this process.
        asked: whether this process has been asked to stop; asked itself before every step.
    """

    def __init__(self, job: Job, place: Place, asked: Callable[[], bool] = lambda: False) -> None:
        self.job, self.place, self.recipe, self.asked = job, place, job.recipe, asked
        optimisation = job.recipe.optimisation
        if optimisation.batch % place.world:
            raise ConfigError(f"optimisation.batch {optimisation.batch} does not divide among {place.world} processes")
        self.corpus = Corpus(job.corpus, job.recipe.sampling, job.recipe.seed)
        self.steps_per_epoch = steps_per_epoch(len(self.corpus), optimisation.batch)
        self.steps = self.steps_per_epoch * optimisation.epochs
        self.teller = Teller(place.first, job.tell_seconds, self.steps, optimisation.batch)
        self.teacher = self._placed_teacher()
        self.model = build_model(job.recipe, self.teacher.width).to(place.device)
        if job.checkpointing:
            self.model.checkpoint_activations()
        self.sharded = job.parallel == "fsdp" and place.world > 1
        if self.sharded:
            shard(self.model, place, half=place.half(self.recipe.optimisation.precision), compiled=job.compile)
        self.optimizer = build_optimizer(self.model, optimisation)
        self.step = load_state(job.work / STATES, self.model, self.optimizer, self.teller.say, place)
        if self.step > self.steps:
            ends = f"these settings end after step {self.steps}"
            raise ConfigError(f"the state is after step {self.step}, but {ends}; raise optimisation.epochs")
        self.student = self._wrapped()
        self.stepper = Stepper(
            job.recipe,
            place,
            self.model,
            self.student,
            self.teacher,
            self.optimizer,
            self.corpus.names,
            modalities=self.corpus.modalities,
        )
        self.watcher = Watcher(
            job.watch,
            job.recipe,
            place,
            self.model,
            self.teacher,
            self.corpus,
            Sources(job.data, job.splits, job.work),
            self.steps_per_epoch,
            self.step,
            self.teller,
        )
        self.asked_to_stop = False

    def _placed_teacher(self) -> Teacher:
        teacher, work = self.recipe.teacher, self.job.work
        precision = agreed_precision(teacher, self.place, work, bool(states(work / STATES)), self.teller.say)
        return build_teacher(teacher, self.recipe.encoder.grid).placed(precision, self.place.device)

    def _wrapped(self) -> nn.Module:
        if self.job.compile:
            self.teacher.compile(dynamic=False)
        if self.sharded:
            return self.model
        student: nn.Module = torch.compile(self.model, dynamic=False) if self.job.compile else self.model  # type: ignore[assignment]
        return replicate(student, self.place) if self.place.world > 1 else student

    def stop(self) -> None:
        """Ask to save the state and end after the step at hand."""
        self.asked_to_stop = True

    def run(self) -> None:
        """Train to the end, or to the step in which :meth:`stop` is called; either way leave a state behind."""
        self.teller.begin(self.step, len(self.corpus), self.teacher.note, self.place)
        metrics = MetricsLog(self.job.work / METRICS, self.step) if self.place.first else None
        with batches_of(self._loader()) as batches:
            try:
                self._train(batches, metrics)
            except NotFinite as fault:
                self._keep(fault.step, metrics)
                raise
            self._save(metrics)
        if self.step == self.steps:
            self.watcher.look(self.step)
        self.watcher.close()
        if metrics:
            metrics.close()
        if self.step == self.steps:
            self._finish()
        self.teller.end(self.step)

    def _train(self, batches: Iterator[Any], metrics: MetricsLog | None) -> None:
        """Take steps to the end, or to the step in which :meth:`stop` is called."""
        saved, began = time.monotonic(), time.monotonic()
        while self.step < self.steps and not self._stopping():
            began += self.watcher.look(self.step)  # not this step's time
            batch = _next(batches)
            waited = time.monotonic() - began
            figures = self.stepper.take(self.step, self._learning_rate(self.step), batch)
            self.step += 1
            now = time.monotonic()
            self._tell(figures, metrics, now - began, waited)
            began = now
            if self._due(saved):
                self._tell(self.stepper.drain(), metrics, time.monotonic() - began, 0.0)
                self._try_to_save(metrics)
                saved = time.monotonic()
        self._tell(self.stepper.drain(), metrics, time.monotonic() - began, 0.0)

    def _tell(self, arrived: list[Figures], metrics: MetricsLog | None, seconds: float, waited: float) -> None:
        """Log the figures that arrived; on a GPU they are those of the step before the one just started."""
        for figures in arrived:
            if metrics:
                line = self._line(figures, seconds, waited)
                metrics.add(line)
                self.teller.tell(line)

    def _loader(self) -> Any:
        images = PretrainingImages(self.corpus, self.job.data, self.recipe)
        optimisation = self.recipe.optimisation
        order = self.corpus.order(self.recipe.sampling, self.steps_per_epoch * optimisation.batch, self.recipe.seed)
        facts = (len(self.corpus), optimisation.batch, optimisation.epochs, self.recipe.seed)
        batches = EpochBatches(*facts, start=self.step, rank=self.place.rank, world=self.place.world, order=order)
        return loader(images, batches, self.job.workers, pinned=self.place.device.type == "cuda")

    def _stopping(self) -> bool:
        return self._anybody(self.asked_to_stop or self.asked())

    def _anybody(self, flag: bool) -> bool:
        # Hosts that wait for each other run less far ahead of their GPUs, so these ask every tenth step; a CPU step is long.
        if self.place.device.type == "cuda" and self.place.world > 1 and self.step % 10:
            return False
        return self.place.any(flag)

    def _learning_rate(self, step: int) -> float:
        optimisation = self.recipe.optimisation
        return learning_rate(
            step,
            steps=self.steps,
            warmup=round(optimisation.warmup_epochs * self.steps_per_epoch),
            peak=optimisation.learning_rate,
            lowest=optimisation.min_learning_rate,
        )

    def _line(self, figures: Figures, seconds: float, waited: float) -> dict[str, Any]:
        changed = next((change.settings for change in self.job.changes if change.after_step == figures.step), None)
        return {
            "step": figures.step + 1,
            "epoch": figures.step // self.steps_per_epoch,
            **figures.values,
            "by_modality": figures.by_modality,
            "batch": batch_name(self.corpus.names[figures.everybody]),
            "learning_rate": self._learning_rate(figures.step),
            "images_per_second": round(self.recipe.optimisation.batch / max(seconds, 1e-6), 1),
            "data_wait": round(waited / max(seconds, 1e-6), 4),
            "seconds": round(seconds, 4),
            **({"changed": changed} if changed else {}),
        }

    def _due(self, saved: float) -> bool:
        """Return whether a state is due; all processes get the same answer, as all give their shards to it."""
        every = self.job.state_steps
        if every and self.step % every == 0:
            return True
        return self._anybody(self.place.first and time.monotonic() - saved > self.job.state_seconds)

    def _save(self, metrics: MetricsLog | None) -> None:
        if metrics:
            metrics.flush()
        self.watcher.flush()
        if self.sharded or self.place.first:
            save_state(self.job.work / STATES, self.step, self.model, self.optimizer, self.place)

    def _try_to_save(self, metrics: MetricsLog | None) -> None:
        """Save on the way; where that fails (a full disk), go on: nothing is lost yet, and there may be room next time."""
        try:
            self._save(metrics)
        except InputError as error:
            self.teller.say(f"warning: {error}; training goes on, the state saved before is kept")

    def _keep(self, step: int, metrics: MetricsLog | None) -> None:
        """Save the state after ``step`` steps, whose successor was not finite; every process comes here at the same step."""
        self.step = step
        norm = whole(torch.nn.utils.get_total_norm([parameter for _, parameter in trainable(self.model)]))
        if not bool(norm.isfinite()):
            self.teller.say("warning: the weights are not finite either; the state saved before is kept")
            return
        try:
            self._save(metrics)
        except InputError as error:
            self.teller.say(f"warning: {error}; the state saved before is kept")

    def _finish(self) -> None:
        tensors = gathered(self.model.state_dict().items(), keep=self.place.first)
        if not self.place.first:
            return
        card = EncoderCard(
            architecture=self.recipe.encoder,
            preprocessing=self.recipe.preprocessing,
            corpus_sha256=self.job.corpus_sha256,
            preset=self.job.preset,
            teacher=self.teacher.note,
            steps=self.steps,
            **inherited(self.recipe.start),
        )
        others = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.")}
        images = self.steps * self.recipe.optimisation.batch
        final = self.job.work / FINAL
        try:
            with building_folder(final) as folder:
                save_encoder(folder, self._encoder(tensors), card)
                save_file(others, folder / REGRESSOR_NAME, metadata={"format": "pt"})
                write_json(folder / FINAL_NAME, {"steps": self.steps, "images_seen": images, "corpus_images": len(self.corpus)})
        except SafetensorError as error:  # a full disk, in its own words
            raise InputError(f"cannot write {final} ({error}); make room there") from error

    def _encoder(self, tensors: dict[str, Tensor]) -> Encoder:
        """Return the trained encoder whole on the CPU; :attr:`model` may hold a shard of it."""
        encoder = build_encoder(self.recipe.encoder)
        of_it = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
        encoder.load_state_dict(of_it, strict=True)
        return encoder


def _next(batches: Any) -> Batch:
    """Return the next batch; an error for the user keeps its one sentence on its way out of a loading process."""
    try:
        batch: Batch = next(batches)
    except PanDermError as error:
        sentence = str(error).strip().splitlines()[-1]
        raise type(error)(sentence.partition("Error: ")[2] or sentence) from error
    return batch


def run(config_path: Path) -> None:
    """Read the job and train."""
    job = Job.parse(read_json(config_path), where=str(config_path))
    with joined(job.device, job.threads) as place:
        pretraining = Pretraining(job, place, end_in_order(place.wait))
        pretraining.run()
        place.wait()  # for the first process, which may still be writing
    if pretraining.step < pretraining.steps:
        raise TrainingStopped(
            f"the training was asked to stop and saved its state after step {pretraining.step} in {job.work}; "
            "run the same command to go on"
        )


if __name__ == "__main__":
    worker_main(run)
