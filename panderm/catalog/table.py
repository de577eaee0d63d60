"""Typed rows of the two catalogue tables and their look-up by key."""

from __future__ import annotations

from importlib import resources
from typing import Any, Literal, NamedTuple, get_args

import yaml
from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, one_of
from panderm.core.layout import benchmark_dataset

Modality = Literal["tbp", "dermoscopic", "clinical", "dermatopathology"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
Kind = Literal["diagnosis", "segmentation", "change", "prognosis", "total_body", "slides", "sequences"]
Metric = Literal["weighted_f1", "auroc", "jaccard", "sensitivity"]
Protocol = Literal["linear_probe", "fine_tuning", "upernet", "siamese", "probe_and_cox", "screening_union", "abmil"]
RUNNING_KINDS: tuple[Kind, ...] = ("diagnosis", "segmentation", "sequences", "change", "prognosis", "total_body", "slides")
"""Kinds with a module in ``panderm.tasks``."""


class Source(FrozenConfig):
    """One of the 11 pretraining sources.

    Attributes:
        key: its name everywhere: folder, partition, command.
        source: what it is, in the paper's words.
        modalities: kinds of image it delivers.
        images_stated: the paper's count, as text (some are counted together).
        access: in-house or public.
        remarks: what the paper says of it.
        licence: its terms as published by the provider (SPDX where there is one; ``panderm.core.terms`` says what follows).
        reader: name in ``panderm.readers`` of the reader for its native layout.
        patient_namespace: prefix of its patient ids; sources of one cohort share it.
    """

    key: str
    source: str
    modalities: tuple[Modality, ...]
    images_stated: str
    access: str
    remarks: str
    licence: str
    reader: str
    patient_namespace: str


class Benchmark(FrozenConfig):
    """One of the 28 benchmarks; ``*_stated`` are the paper's words and figures.

    Attributes:
        number: row number in the paper's order, 1 to 28.
        key: its name everywhere.
        licence: as of a source.
        kind: what sort of task it is.
        patient_namespace: prefix of its patient ids, shared with sources of the same cohort.
        classes: labels in index order (two classes: the last is the positive one); empty until it runs.
        reader: name in ``panderm.readers``; empty until it runs.
        metric: primary metric, for tasks that run.
        protocol: what is fitted, for tasks that run.
        folds: of tasks that the paper judges out of fold; 0 for those with a test split.
        shares: shares of train, val and test where the paper states others than curate's.
        demo: whether the demo draws a twin of it and runs it.
        modalities: kinds of image delivered, where they are others than the one that ``modality`` begins with.
        melanoma: those of the classes that are melanomas and nothing else, for studies across tasks; empty where none is.
        reported: the paper's own figures by metric, where it states one; shown beside ours on real data only.
    """

    number: int
    key: str
    task: str
    modality: str
    classes_stated: str
    images_stated: str
    metric_stated: str
    protocol_stated: str
    split_stated: str
    access: str
    licence: str
    kind: Kind
    patient_namespace: str
    classes: tuple[str, ...] = ()
    reader: str = ""
    metric: Metric = "auroc"
    protocol: Protocol = "linear_probe"
    folds: int = Field(default=0, ge=0)
    shares: tuple[float, float, float] | None = None
    demo: bool = False
    modalities: tuple[Modality, ...] = ()
    melanoma: tuple[str, ...] = ()
    reported: dict[str, float] = Field(default_factory=dict)

    @property
    def runnable(self) -> bool:
        """Whether this version can run the benchmark."""
        return bool(self.reader) and self.kind in RUNNING_KINDS


class Dataset(NamedTuple):
    """What ingest and validate need to know of a delivery, source or benchmark alike.

    Attributes:
        key: ``mym`` or ``benchmarks/ham10000``.
        reader: name in ``panderm.readers``.
        modalities: allowed values of the manifest's modality column.
        patient_namespace: prefix of patient and lesion ids.
        classes: allowed labels; empty for sources, whose labels are not used.
        kind: the task's; None for sources.
    """

    key: str
    reader: str
    modalities: tuple[Modality, ...]
    patient_namespace: str
    classes: tuple[str, ...]
    kind: Kind | None = None


def _rows(name: str) -> list[dict[str, Any]]:
    rows = yaml.safe_load((resources.files(__package__) / name).read_text())
    assert isinstance(rows, list)
    return rows


SOURCES: tuple[Source, ...] = tuple(Source.parse(row, "sources.yaml") for row in _rows("sources.yaml"))
BENCHMARKS: tuple[Benchmark, ...] = tuple(Benchmark.parse(row, "benchmarks.yaml") for row in _rows("benchmarks.yaml"))


def runnable_benchmarks() -> tuple[Benchmark, ...]:
    """Return the benchmarks that this version can run, in the paper's order."""
    return tuple(row for row in BENCHMARKS if row.runnable)


def source(key: str) -> Source:
    """Return a source by key.

    Raises:
        InputError: no source has that key.
    """
    for row in SOURCES:
        if row.key == key:
            return row
    raise InputError(one_of(key, [row.key for row in SOURCES], "source", "see `panderm sources`"))


def benchmark(key: str) -> Benchmark:
    """Return a runnable benchmark by key.

    Raises:
        InputError: no benchmark has that key, or it is not runnable yet.
    """
    for row in BENCHMARKS:
        if row.key == key:
            if not row.runnable:
                names = ", ".join(r.key for r in runnable_benchmarks())
                raise InputError(f"task {key!r} is listed but not yet runnable; runnable: {names}")
            return row
    raise InputError(one_of(key, [row.key for row in BENCHMARKS], "task", "see `panderm tasks`"))


def dataset(key: str) -> Dataset:
    """Return a dataset by key: a source's, or ``benchmarks/<task>``.

    Raises:
        InputError: neither a source has that key, nor a benchmark with a reader.
    """
    if key.startswith(benchmark_dataset("")):
        task = _with_reader(key.removeprefix(benchmark_dataset("")))
        labels = () if task.kind == "segmentation" else task.classes  # its answer is a mask
        return Dataset(key, task.reader, task.modalities or (_modality(task),), task.patient_namespace, labels, task.kind)
    row = source(key)
    return Dataset(key, row.reader, row.modalities, row.patient_namespace, ())


def _with_reader(key: str) -> Benchmark:
    """Return a benchmark whose delivery can be read, whether or not its kind runs yet."""
    found = [row for row in BENCHMARKS if row.key == key]
    return found[0] if found and found[0].reader else benchmark(key)


def delivered_datasets() -> tuple[Dataset, ...]:
    """Return every dataset that can be read: the 11 sources, then the benchmarks with a reader."""
    keys = [row.key for row in SOURCES] + [benchmark_dataset(row.key) for row in BENCHMARKS if row.reader]
    return tuple(dataset(key) for key in keys)


def demo_datasets() -> tuple[Dataset, ...]:
    """Return what the demo runs on: the 11 sources and the benchmarks of its rows."""
    return tuple(row for row in delivered_datasets() if _in_demo(row.key))


def _in_demo(key: str) -> bool:
    task = key.removeprefix(benchmark_dataset(""))
    return task == key or any(row.demo for row in BENCHMARKS if row.key == task)


def datasets() -> tuple[Dataset, ...]:
    """Return every dataset: the 11 sources, then the runnable benchmarks."""
    keys = [row.key for row in SOURCES] + [benchmark_dataset(row.key) for row in runnable_benchmarks()]
    return tuple(dataset(key) for key in keys)


def _modality(task: Benchmark) -> Modality:
    matches = [modality for modality in MODALITIES if task.modality.startswith(modality)]
    assert matches, f"{task.key}: modality {task.modality!r} names none of {MODALITIES}"
    return matches[0]
