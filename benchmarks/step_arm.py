"""One arm of ``pretrain_step.py``, in its own process: builds a step, takes it when told to, and reports what it saw."""

from __future__ import annotations

import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from plain_step import PlainStep

from panderm.models.linear import linear
from panderm.models.masking import draw_mask, split_mask
from panderm.models.teacher import RANDOM, Teacher, TeacherConfig, build_teacher, fitting_size, untrained_teacher
from panderm.models.teacher_tower import DTYPES, best_precision
from panderm.training.data import Batch, Corpus, EpochBatches, PretrainingImages, loader, steps_per_epoch
from panderm.training.flops import count_flops, shape_of
from panderm.training.place import Place, Precision
from panderm.training.pretrain_worker import build_model, build_optimizer
from panderm.training.recipe import Recipe, preset
from panderm.training.step import Stepper

_RATE = 1e-4  # of a step in the middle of the warm-up; time does not depend on it


_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Arm(NamedTuple):
    """Which step, and the precision of its teacher."""

    kind: str
    precision: str


class Options(NamedTuple):
    """What every arm does; the command line's options."""

    preset: str
    teacher: str
    batch: int
    steps: int
    warmup: int
    device: str
    threads: int
    drop_path: float | None
    compile: bool
    checkpointing: bool
    student_precision: Precision
    corpus: Path | None
    data: Path | None
    workers: int


class Clock:
    """Wall and CPU time between marks; on a GPU events, so that no mark waits."""

    def __init__(self, on_gpu: bool) -> None:
        self.on_gpu = on_gpu
        self.steps: list[list[tuple[str, Any]]] = []

    def mark(self, name: str) -> None:
        """Note that a part of the step is behind."""
        if name == "start":
            self.steps.append([])
        at: Any = time.perf_counter()
        if self.on_gpu:
            at = torch.cuda.Event(enable_timing=True)
            at.record()
        self.steps[-1].append((name, at))

    def seconds(self, skip: int) -> dict[str, float]:
        """Return the time of each part, summed over all steps but the first ``skip``."""
        spent: dict[str, float] = defaultdict(float)
        for marks in self.steps[skip:]:
            for (_, before), (name, after) in pairwise(marks):
                spent[name] += before.elapsed_time(after) / 1e3 if self.on_gpu else after - before
        return spent


class Bench:
    """A step of one kind with everything it needs."""

    def __init__(self, arm: Arm, settings: Options) -> None:
        self.arm, self.settings = arm, settings
        self.device = torch.device(settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.recipe, teacher = prepared(settings)
        source = settings.teacher or self.recipe.teacher.source
        self.precision = best_precision(source, self.device) if arm.precision == "auto" else arm.precision
        self.shape = shape_of(teacher)
        self.clock = Clock(self.device.type == "cuda")
        model = build_model(self.recipe, teacher.width)
        if settings.checkpointing:
            model.checkpoint_activations()
        self._step = self._plain(model, teacher) if arm.kind == "naive" else self._ours(model, teacher)
        self.batches = batches(self.recipe, settings)
        self.seen: list[tuple[float, float, float]] = []  # wall, CPU and waiting seconds of each step
        self.taken = 0

    def _plain(self, model: Any, teacher: Teacher) -> Any:
        source = self.settings.teacher or self.recipe.teacher.source
        name = "" if source == RANDOM else source.partition("@")[0]
        self.precision = "fp16" if self.device.type == "cuda" else "fp32"
        step = PlainStep(self.recipe, model, teacher, name, self.device)
        return lambda batch: step.take(batch, self.clock.mark)

    def _ours(self, model: Any, teacher: Teacher) -> Any:
        model.to(self.device)
        teacher.placed(self.precision, self.device)  # type: ignore[arg-type]
        student = model
        if self.settings.compile:
            teacher.compile(dynamic=False)
            student = torch.compile(model, dynamic=False)
        names = np.array([f"image {number}" for number in range(self.settings.batch)])
        place, optimizer = Place(0, 1, self.device), build_optimizer(model, self.recipe.optimisation)
        stepper = Stepper(self.recipe, place, model, student, teacher, optimizer, names, mark=self.clock.mark)
        return lambda batch: stepper.take(self.taken, _RATE, batch)

    def step(self) -> None:
        """Take one step."""
        began, spent = time.perf_counter(), time.process_time()
        batch = next(self.batches)
        waited = time.perf_counter() - began
        self._step(batch)
        self.taken += 1
        self.seen.append((time.perf_counter() - began, time.process_time() - spent, waited))

    def run(self) -> None:
        """Take all steps of a GPU arm without waiting for the device in between."""
        for _ in range(self.settings.warmup):
            self.step()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        for _ in range(self.settings.steps):
            self.step()
        torch.cuda.synchronize()
        each = (time.perf_counter() - began) / self.settings.steps
        self.seen = [
            *self.seen[: self.settings.warmup],
            *((each, cpu, wait) for _, cpu, wait in self.seen[-self.settings.steps :]),
        ]

    def _student_type(self) -> torch.dtype:
        if self.arm.kind == "naive":
            return torch.float16 if self.device.type == "cuda" else torch.float32
        half = Place(0, 1, self.device).half(self.recipe.optimisation.precision)
        return torch.bfloat16 if half else torch.float32

    def report(self) -> dict[str, Any]:
        """Return the figures of the measured steps."""
        on_gpu, skip = self.device.type == "cuda", self.settings.warmup
        walls, cpus, waits = zip(*self.seen[skip:], strict=True)
        parts = {**self.clock.seconds(skip), "data": sum(waits)}
        whole = sum(parts.values())
        student = ceiling(self.device, self._student_type())
        teacher = ceiling(self.device, DTYPES[self.precision])  # type: ignore[index]
        flops = count_flops(self.recipe, self.shape)
        ideal = self.settings.batch * (3 * flops.student / student + flops.teacher / teacher)
        peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds = min(walls)
        return {
            "arm": f"{self.arm.kind}, {_NAMES[self._student_type()]}, teacher {self.precision}",
            "seconds": seconds,
            "seconds_median": statistics.median(walls),
            "cpu_seconds": min(cpus),
            "images_per_second": self.settings.batch / seconds,
            "gflop_per_image": flops.step / 1e9,
            "tflop_per_second": self.settings.batch * flops.step / seconds / 1e12,
            "ceiling_tflop_per_second": {"student": student / 1e12, "teacher": teacher / 1e12},
            "mfu": ideal / seconds,
            "shares": {name: parts[name] / whole for name in ("teacher", "forward", "backward", "optimizer", "data")},
            "peak_gib": peak / 2**30,
            "note": (
                f"{flops.step / 1e9:.1f} GFLOP an image, {self.settings.batch * flops.step / seconds / 1e12:.3f} TFLOP/s; "
                f"measured ceiling {student / 1e12:.3f} (student) and {teacher / 1e12:.3f} (teacher) TFLOP/s"
            ),
        }


def prepared(settings: Options) -> tuple[Recipe, Teacher]:
    """Return the recipe as the options change it, and a teacher with random weights on the CPU."""
    recipe = preset(settings.preset, {"optimisation": {"batch": settings.batch}})  # type: ignore[arg-type]
    source = (settings.teacher or recipe.teacher.source).partition("@")[0]
    drop, optimisation = settings.drop_path, {"batch": settings.batch, "precision": settings.student_precision}
    overrides: dict[str, Any] = {} if drop is None else {"drop_path": drop, "regressor": {"drop_path": drop}}
    overrides |= {"optimisation": optimisation}
    if source == RANDOM:
        changed = preset(settings.preset, overrides)  # type: ignore[arg-type]
        return changed, build_teacher(changed.teacher, changed.encoder.grid)
    size = fitting_size(TeacherConfig(source=source), recipe.encoder.grid)
    teacher = untrained_teacher(source, size, recipe.encoder.grid)
    return preset(settings.preset, overrides | {"teacher": {"image_size": size}}), teacher  # type: ignore[arg-type]


def batches(recipe: Recipe, settings: Options) -> Iterator[Batch]:
    """Yield batches for ever: from shards, or two of random pixels in turn."""
    on_gpu = settings.device == "cuda"
    if settings.corpus is not None and settings.data is not None:
        yield from shards(recipe, settings, settings.corpus, settings.data, on_gpu)
    made = [synthetic(recipe, settings.batch, seed) for seed in range(2)]
    pinned = [Batch(*(part.pin_memory() for part in batch)) for batch in made] if on_gpu else made
    while True:
        yield from pinned


def shards(recipe: Recipe, settings: Options, folder: Path, data: Path, on_gpu: bool) -> Iterator[Batch]:
    """Yield batches as a training process gets them."""
    corpus = Corpus(folder, recipe.sampling, recipe.seed)
    steps = steps_per_epoch(len(corpus), settings.batch)
    order = corpus.order(recipe.sampling, steps * settings.batch, recipe.seed)
    epochs = 1 + (settings.warmup + settings.steps) // steps
    rows = EpochBatches(len(corpus), settings.batch, epochs, recipe.seed, order=order)
    yield from loader(PretrainingImages(corpus, data, recipe), rows, settings.workers, pinned=on_gpu)  # type: ignore[misc]


def synthetic(recipe: Recipe, count: int, seed: int) -> Batch:
    """Return a batch of random pixels with masks of the recipe's kind."""
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    sizes = (recipe.encoder.image_size, recipe.teacher.image_size)
    pixels = [torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator) for size in sizes]
    masks = [split_mask(draw_mask(recipe.masking, recipe.encoder.grid, rng)) for _ in range(count)]
    keep, masked = (torch.from_numpy(np.stack(part)) for part in zip(*masks, strict=True))
    return Batch(pixels[0], pixels[1], keep, masked, torch.arange(count))


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of large matrix products: the best of several on a CPU, of long runs on a GPU."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    multiply = partial(linear, left, right)
    repeats, rounds = (50, 3) if device.type == "cuda" else (1, 8)
    best = 0.0
    for _ in range(1 + rounds):
        began = time.perf_counter()
        for _ in range(repeats):
            multiply()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, repeats * 2.0 * side**3 / (time.perf_counter() - began))
    return best


def serve(arm: Arm, settings: Options, line: Connection) -> None:
    """Build the arm, take a step for each message, and answer the last one with the report."""
    with torch.random.fork_rng(devices=[]):
        bench = Bench(arm, settings)
    while line.recv() == "step":
        bench.run() if bench.device.type == "cuda" else bench.step()
        line.send("done")
    with torch.no_grad():
        line.send(bench.report())
