"""The metrics of a run: one JSON line a step, without gaps or repetitions also after a kill and a resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from panderm.core.errors import InputError
from panderm.core.files import sha256_bytes, write_text

TIMING = ("images_per_second", "data_wait", "seconds")
"""Keys that differ from run to run; everything else in a line follows from inputs and seed."""


class MetricsLog:
    """Append lines to ``metrics.jsonl``; lines that a full disk does not take are kept until it does.

    Args:
        path: the file; lines of steps after ``step`` (of a killed run that had got further than its state) are dropped.
        step: steps done so far.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        write_text(path, "".join(_line(line) for line in kept))
        self._path, self._stream = path, path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._pending: list[bytes] = []
        self._tried = time.monotonic()

    def add(self, values: dict[str, Any]) -> None:
        """Add one step's values; they are in the file about a second later."""
        self._pending.append(_line(values).encode())
        if time.monotonic() - self._tried > 1:
            with suppress(OSError):  # the lines stay, and the flush before the next state says what is wrong
                self._write()

    def flush(self) -> None:
        """Bring every line to the disk; called before a state is saved, so that no step of it is missing here.

        Raises:
            InputError: the disk is full, say; the file ends with a whole line, and the others are tried again next time.
        """
        try:
            self._write()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise InputError(f"cannot write {self._path} ({error.strerror}); make room there") from error

    def _write(self) -> None:
        self._tried = time.monotonic()
        text = memoryview(b"".join(self._pending))
        try:
            done = 0
            while done < len(text):
                done += self._stream.write(text[done:])
        except OSError:
            self._stream.truncate(self._size)
            raise
        self._size += len(text)
        self._pending.clear()

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


def batch_name(samples: Iterable[str]) -> str:
    """Return a short name of a batch: 8 hex digits of the sha256 of its samples' names, one a line, in their order."""
    return sha256_bytes("\n".join(samples).encode())[:8]


def mean_loss(lines: list[dict[str, Any]]) -> float:
    """Return the mean loss of ``lines``, not-a-number for none."""
    return sum(line["loss"] for line in lines) / len(lines) if lines else math.nan


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values) + "\n"
