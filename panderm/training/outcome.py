"""How a training process ends, as it tells its launcher: lines on stdout that begin with a word of their own.

They are no progress, so the launcher keeps them from whoever listens. They are heard, not read from the log afterwards, as a
full disk takes no log.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from enum import StrEnum


class Word(StrEnum):
    """What a line is about; the text follows it."""

    ORDERLY = "orderly: "
    """From here on the process answers SIGTERM itself, and says how that went."""
    STOPPED = "stopped: "
    """It has followed SIGTERM; the sentence says with what."""
    FINISHED = "finished: "
    ERROR = "error: "
    """An error meant for the user, one sentence."""
    CRASH = "crash: "
    """Any other exception, its type and first line; the traceback is in the log."""


def tell(word: Word, text: object = "") -> None:
    """Print a line for the launcher in one write, so that those of several processes stay apart."""
    with suppress(OSError):  # nobody listens any more: the launcher was killed
        sys.stdout.write(f"{word}{' '.join(str(text).split())}\n")
        sys.stdout.flush()


class Heard:
    """What the processes of one launch have told, by word, in the order of arrival."""

    def __init__(self) -> None:
        self._told: dict[Word, list[str]] = {word: [] for word in Word}

    def take(self, line: str) -> bool:
        """Return whether a line was for the launcher; if so, remember it."""
        word = next((word for word in Word if line.startswith(word)), None)
        if word is not None:
            self._told[word].append(line.removeprefix(word).strip())
        return word is not None

    def first(self, word: Word) -> str | None:
        """Return the first text with this word, None if there was none."""
        return self._told[word][0] if self._told[word] else None
