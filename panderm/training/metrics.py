"""The metrics of a run: one JSON line a step, without gaps or repetitions also after a kill and a resume."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from panderm.core.files import write_text

TIMING = ("images_per_second", "data_wait", "seconds")
"""Keys that differ from run to run; everything else in a line follows from inputs and seed."""


class MetricsLog:
    """Append lines to ``metrics.jsonl``.

    Args:
        path: the file; lines of steps after ``step`` (of a killed run that had got further than its state) are dropped.
        step: steps done so far.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        write_text(path, "".join(_line(line) for line in kept))
        self._stream = path.open("a")

    def add(self, values: dict[str, Any]) -> None:
        """Add one step's values."""
        self._stream.write(_line(values))

    def flush(self) -> None:
        """Bring every line to the disk; called before a state is saved, so that no step of it is missing here."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._stream.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; a missing file has none, a last line cut by a kill is left out."""
    return list(_lines(path)) if path.is_file() else []


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as stream:
        for text in stream:
            if text.endswith("\n"):
                yield json.loads(text)


def without_timing(lines: list[dict[str, Any]]) -> str:
    """Return lines as text with everything that differs from run to run left out."""
    return "".join(_line({key: value for key, value in line.items() if key not in TIMING}) for line in lines)


def mean_loss(lines: list[dict[str, Any]]) -> float:
    """Return the mean loss of ``lines``, not-a-number for none."""
    return sum(line["loss"] for line in lines) / len(lines) if lines else math.nan


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"
