"""What a full pretraining will cost, from a few measured steps: hours, GPU-hours, energy, storage."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from panderm.core.config import FrozenConfig

WAIT_WARNING = 0.05  # of a step: above it the loader, not the device, sets the speed
GPU_WATTS = 700.0  # board limit of an H100 or H200 SXM (NVIDIA data sheets), where a GPU does not tell its draw
CORE_WATTS = 10.0  # an EPYC 9004 has 200 to 400 W for 16 to 96 cores (AMD data sheets); 10 leaves room for memory and fans
_HEADROOM = 1.1  # over the storage counted, before a disk is called too full
_GIGA = 1e9


class Measured(FrozenConfig):
    """What a dry run saw.

    Attributes:
        device: the GPU's name, or ``cpu``.
        processes: how many trained together.
        cores: of each process, on a CPU.
        steps: of the full run.
        steps_per_epoch: of those.
        batch: images a step, over all processes.
        skipped: first steps that were not counted (compilation, batches that were loaded ahead).
        step_seconds: of each counted step.
        data_wait: share of the counted time that waited for data.
        watts: mean draw of one GPU over the counted steps, None where nothing tells.
        peak_memory: of the first process, bytes: of the GPU's memory, or resident on a CPU without loading processes.
        state_bytes: one resume state.
        result_bytes: encoder and regressor as published.
        shard_bytes: shard files that the corpus points to.
        metric_bytes: the log of one step.
    """

    device: str
    processes: int
    cores: int
    steps: int
    steps_per_epoch: int
    batch: int
    skipped: int
    step_seconds: tuple[float, ...]
    data_wait: float
    watts: float | None
    peak_memory: int
    state_bytes: int
    result_bytes: int
    shard_bytes: int
    metric_bytes: int

    @property
    def gpu(self) -> bool:
        """Whether it was measured on GPUs."""
        return self.device != "cpu"


class Estimate(FrozenConfig):
    """The full run at the measured rate.

    Attributes:
        measured: where it comes from.
        preset: of the recipe.
        step_seconds: mean of the counted steps.
        images_per_second: over all processes.
        images: shown in the full run.
        hours: from first to last step, with looks on the way, without the start.
        gpu_hours: hours times GPUs; None on a CPU.
        watts: draw of all devices together.
        watts_from: where that number comes from.
        kilowatt_hours: energy.
        storage_bytes: by what is stored, all of it at the same time.
        looks: share of the computation that watching may take, included in the hours.
        warnings: what to mend before the bill.
    """

    measured: Measured
    preset: str
    step_seconds: float
    images_per_second: float
    images: int
    hours: float
    gpu_hours: float | None
    watts: float
    watts_from: str
    kilowatt_hours: float
    storage_bytes: dict[str, int]
    looks: float
    warnings: tuple[str, ...]


def estimate(
    measured: Measured, preset: str, workers: int, kept: int, looks: float, watts: float = 0, free: int = 0
) -> Estimate:
    """Return what the full run will take.

    Args:
        measured: a dry run.
        preset: of the recipe, for the title.
        workers: loading processes of each training process.
        kept: resume states on disk at any time; one more exists while it is written.
        looks: share of the computation that watching may take.
        watts: draw of all machines together, if it is known; 0 takes what was measured, or an assumption.
        free: bytes free where states and results go; 0 if unknown.
    """
    seconds = statistics.fmean(measured.step_seconds)
    hours = measured.steps * seconds * (1 + looks) / 3600
    draw, source = _draw(measured, watts)
    storage = {
        "states": (kept + 1) * measured.state_bytes,
        "encoder and regressor": 2 * measured.result_bytes,  # beside each other while the former result is replaced
        "metrics": measured.steps * measured.metric_bytes,
        "shards (read)": measured.shard_bytes,
    }
    needed = sum(size for what, size in storage.items() if what != "shards (read)")
    return Estimate(
        measured=measured,
        preset=preset,
        step_seconds=seconds,
        images_per_second=measured.batch / seconds,
        images=measured.steps * measured.batch,
        hours=hours,
        gpu_hours=hours * measured.processes if measured.gpu else None,
        watts=draw,
        watts_from=source,
        kilowatt_hours=draw * hours / 1000,
        storage_bytes=storage,
        looks=looks,
        warnings=(*_waiting(measured, workers), *_too_full(needed, free)),
    )


def _draw(measured: Measured, watts: float) -> tuple[float, str]:
    if watts:
        return watts, "as given"
    if not measured.gpu:
        cores = measured.processes * measured.cores
        return CORE_WATTS * cores, f"assumed: {CORE_WATTS:g} W a core, {cores} cores; --watts says better"
    if measured.watts is not None:
        return measured.watts * measured.processes, f"measured: {measured.watts:.0f} W a GPU, hosts not counted"
    return GPU_WATTS * measured.processes, f"assumed: {GPU_WATTS:g} W a GPU, hosts not counted; --watts says better"


def _waiting(measured: Measured, workers: int) -> Iterator[str]:
    if measured.data_wait > WAIT_WARNING:
        enough = math.ceil(workers / max(1 - measured.data_wait, 0.05))
        yield (
            f"the loader is the bottleneck: {measured.data_wait:.0%} of the time waits for data; "
            f"set workers to {max(enough, workers + 1)} (now {workers}) if there are as many free cores a process"
        )


def _too_full(needed: int, free: int) -> Iterator[str]:
    if free and needed * _HEADROOM > free:
        yield f"the disk has {_size(free)} free, but the run needs {_size(needed)} for states and results; make room"


def lines(result: Estimate) -> list[str]:
    """Return the estimate as text, one line each."""
    seen, measured = result.measured.step_seconds, result.measured
    days = f" ({result.hours / 24:.1f} days)" if result.hours >= 48 else ""
    looks = f", {result.looks:.0%} of it for looks" if result.looks else ""
    stored = ", ".join(f"{what} {_size(size)}" for what, size in result.storage_bytes.items())
    epochs = measured.steps // measured.steps_per_epoch
    told = [
        f"dry run: preset {result.preset}, {measured.processes} process(es) on {measured.device}, "
        f"{len(seen)} steps measured after {measured.skipped} not counted",
        f"  a step    {result.step_seconds:.3g} s ({min(seen):.3g} to {max(seen):.3g}), {result.images_per_second:,.0f} "
        f"images/s, data wait {measured.data_wait:.0%}",
        f"  full run  {measured.steps:,} steps of {measured.batch:,} images ({epochs} epochs of {measured.steps_per_epoch:,})",
        f"  time      {_clock(result.hours)}{days}{looks}",
        f"  GPU-hours {'none: measured on a CPU' if result.gpu_hours is None else format(result.gpu_hours, ',.1f')}",
        f"  energy    {_energy(result.kilowatt_hours)} ({result.watts_from})",
        f"  storage   {stored}",
        f"  memory    {_size(measured.peak_memory)} at most in the first process",
    ]
    return [*told, *(f"warning: {warning}" for warning in result.warnings)]


def _clock(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"


def _energy(kilowatt_hours: float) -> str:
    return f"{kilowatt_hours:,.1f} kWh" if kilowatt_hours >= 1 else f"{kilowatt_hours * 1000:.3g} Wh"


def _size(size: int) -> str:
    return f"{size / _GIGA:,.1f} GB" if size >= _GIGA else f"{size / 1e6:,.1f} MB"
