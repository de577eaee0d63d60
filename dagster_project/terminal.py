"""A Dagster logger that says on the terminal, one line an asset, what happened; everything else goes to a file."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import dagster as dg

from dagster_project.showing import sentence

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_COUNTS_SHOWN = 4
_WIDTH = 76  # characters of text in a line; the whole text is in the log and, for what failed, at the end


class AssetLines(logging.Handler):
    """Turns Dagster's events into one line an asset and a check.

    Attributes:
        failures: steps that failed for another reason than a blocking check, as sentences.
        blocked: checks that did not pass, as sentences.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.DEBUG)
        self._stream, self._live = stream, stream.isatty()
        self._began = time.monotonic()
        self._checks: set[str] = set()
        self.failures: list[str] = []
        self.blocked: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line of an event; a log line of the asset is shown only until the next one, and only on a terminal."""
        meta = getattr(record, "dagster_meta", {})
        event: dg.DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            self._passing(str(meta.get("orig_message", record.getMessage())))
            return
        kind = event.event_type
        if kind is dg.DagsterEventType.STEP_START:
            self._began = time.monotonic()
            self._passing(f"{event.step_key} ...")
        elif kind is dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._materialized(event)
        elif kind is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._checked(event)
        elif kind is dg.DagsterEventType.STEP_FAILURE and event.step_key not in self._checks:
            self._failed(event)

    def say(self, text: str = "") -> None:
        """Print a line of the demo's own."""
        self._stream.write(("\r\x1b[K" if self._live else "") + text + "\n")
        self._stream.flush()

    def _passing(self, text: str) -> None:
        if self._live:
            self._stream.write(f"\r\x1b[K    {text.splitlines()[0] if text else ''}"[:120])
            self._stream.flush()

    def _line(self, name: str, mark: str, text: str) -> None:
        short = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 4]} ..."
        self.say(f"    {mark} {name:<20} {short:<{_WIDTH}} {time.monotonic() - self._began:6.1f} s")

    def _materialized(self, event: dg.DagsterEvent) -> None:
        metadata = event.materialization.metadata
        numbers = {name: value.value for name, value in metadata.items() if isinstance(value, dg.IntMetadataValue)}
        counts = [f"{number} {name.replace('_', ' ')}" for name, number in numbers.items() if number]
        self._line(event.materialization.asset_key.to_user_string(), "+", ", ".join(counts[:_COUNTS_SHOWN]))

    def _checked(self, event: dg.DagsterEvent) -> None:
        check = event.asset_check_evaluation_data
        text = check.description or ""
        self._line(check.check_name, "+" if check.passed else "x", text)
        if not check.passed:
            self._checks.add(event.step_key or "")
            self.blocked.append(f"{check.asset_key.to_user_string()} {check.partition or ''}: {text}")

    def _failed(self, event: dg.DagsterEvent) -> None:
        text = sentence(event).splitlines()[-1]
        self._line(event.step_key or "", "!", text)
        self.failures.append(f"{event.step_key}: {text}")


def console(lines: AssetLines, log: logging.Handler) -> dg.LoggerDefinition:
    """Return a logger to put in place of Dagster's ``console``: events to ``lines`` and, as text, to ``log``."""

    def to_terminal(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("dagster_project.demo")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.handlers = [lines, log]
        return logger

    return dg.LoggerDefinition(to_terminal, description="one line an asset")


@contextmanager
def everything_else_to(log: Path) -> Iterator[TextIO]:
    """Send what libraries and child processes print to ``log`` and yield a stream that still reaches the terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    with log.open("ab") as target, os.fdopen(os.dup(out), "w") as terminal:
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
