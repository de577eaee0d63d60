"""One way to show long work: a tqdm bar on a terminal, a few plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], *, what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield ``items`` under a progress bar on stderr.

    In a log (stderr is no terminal) at most one line in 30 seconds is printed.
    """
    terminal = sys.stderr.isatty()
    yield from tqdm(
        items, desc=what, total=total, unit=unit, mininterval=0.1 if terminal else 30.0, leave=terminal, dynamic_ncols=True
    )
