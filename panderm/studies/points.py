"""What every study of a task ends in: one table for machines, the same for people, one picture, one record."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.config import FrozenConfig
from panderm.core.files import building_folder, sha256_file, write_text, writing
from panderm.core.layout import Layout
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import write_table
from panderm.evaluation.figures import Resampling

TABLE, PICTURE = "points.parquet", "picture.png"

POINTS = pa.schema(
    [
        ("arm", pa.string()),  # the line of the picture that a point belongs to
        ("name", pa.string()),  # what the point is, in words
        ("level", pa.float64()),  # its place on the axis: share of labels, strength; null where there is none
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),  # of the interval or band that the study's text names; null where there is none
        ("high", pa.float64()),
        ("n", pa.int64()),  # images it rests on
        ("groups", pa.int64()),  # patients, else lesions, else images it rests on
        ("note", pa.string()),  # why there is no value or interval, or a second figure in words
    ]
)
"""``points.parquet`` of every study."""


class Point(NamedTuple):
    """One row of :data:`POINTS`."""

    arm: str
    name: str
    level: float
    metric: str
    value: float
    low: float
    high: float
    n: int
    groups: int
    note: str | None = None


class Given(NamedTuple):
    """What a study of a task works with.

    Attributes:
        task: the benchmark.
        layout: the workspace it reads from.
        finetune: finetune's settings of the task, which models of a study are fitted with too.
        how: how intervals are made.
        say: gets each line of progress.
    """

    task: Benchmark
    layout: Layout
    finetune: Any
    how: Resampling
    say: Callable[[str], None] = print

    @property
    def named(self) -> str:
        """The task's key, with a word where its images are a program's, for titles."""
        return f"{self.task.key} (synthetic twin)" if self.synthetic else self.task.key

    @property
    def synthetic(self) -> bool:
        """Whether the task's published images are a program's."""
        home = self.layout.published(f"benchmarks/{self.task.key}")
        return bool(Record.load(home).values.get("synthetic", False)) if (home / RECORD_NAME).is_file() else False


class Told(NamedTuple):
    """A study's answer for a task.

    Attributes:
        title: heading of the table.
        text: what was done, in a sentence or two, intervals and bands named.
        points: the rows.
        draw: writes the picture to a path, from the points.
        hashes: sha256 of what it rests on.
        pictures: further pictures: file name, and a function that writes it.
    """

    title: str
    text: str
    points: list[Point]
    draw: Callable[[list[Point], Path], None]
    hashes: dict[str, str]
    pictures: tuple[tuple[str, Callable[[Path], None]], ...] = ()


def publish(study: str, given: Given, told: Told, config: FrozenConfig) -> Record:
    """Write a study's folder for a task, whole or not at all, and return its record."""
    with building_folder(given.layout.study(study) / given.task.key) as folder:
        write_table(folder / TABLE, pd.DataFrame(told.points, columns=POINTS.names), POINTS)
        write_text(folder / f"{study}.md", markdown(told, synthetic=given.synthetic))
        told.draw(told.points, folder / PICTURE)
        for name, draw in told.pictures:
            draw(folder / name)
        record = Record(
            stage=study,
            key=given.task.key,
            counts={"points": len(told.points), "arms": len({point.arm for point in told.points})},
            hashes=told.hashes | {"table": sha256_file(folder / TABLE)},
            values={"synthetic": given.synthetic},
            config=config.model_dump(mode="json"),
        )
        record.save(folder)
    return record


def markdown(told: Told, *, synthetic: bool) -> str:
    """Return the table for people."""
    lines = [f"# {told.title}", ""]
    if synthetic:
        lines += ["**Synthetic twin**: these figures show that the study runs, and say nothing about patients.", ""]
    lines += [told.text, "", "| arm | point | metric | value | from | to | images | groups | note |", "|---" * 9 + "|"]
    for point in told.points:
        figures = " | ".join("-" if math.isnan(value) else f"{value:.3f}" for value in (point.value, point.low, point.high))
        counts = f"{point.n} | {point.groups}"
        metric = point.metric.replace("_", " ")
        lines.append(f"| {point.arm} | {point.name} | {metric} | {figures} | {counts} | {point.note or ''} |")
    return "\n".join(lines) + "\n"


def save_picture(figure: Any, path: Path) -> None:
    """Write a matplotlib figure as PNG, whole or not at all; equal figures give equal bytes."""
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
