"""SIGTERM to this process: kept until it can be followed, a reason to break off, or passed on to a training.

Where somebody else handles it already (a Dagster run, say), or in a thread, it is left to them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """SIGTERM came. It is no ``Exception``, so that no code on the way takes it for an error of its own."""


class Request:
    """The handler of SIGTERM, and what became of it.

    Attributes:
        asked: whether SIGTERM has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._act: Callable[[], None] | None = None

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Remember the signal, and act on it if anything is to be done by now."""
        self.asked = True
        self._once()

    @contextmanager
    def leading_to(self, act: Callable[[], None] | None) -> Iterator[None]:
        """Let the first SIGTERM, also one that has come already, lead to ``act`` while this lasts; None keeps it for later."""
        former, self._act = self._act, act
        try:
            if self.asked:
                self._once()
            yield
        finally:
            self._act = former

    def _once(self) -> None:
        # Schedulers send SIGTERM more than once; a second one would break off what the first has begun.
        act, self._act = self._act, None
        if act:
            act()


def listen() -> None:
    """Keep SIGTERM from now on, for a command that will follow it as soon as it knows how."""
    if _free():
        signal.signal(signal.SIGTERM, Request())


@contextmanager
def request() -> Iterator[Request]:
    """Yield the request that SIGTERM goes to: the one there is, or one for as long as this lasts."""
    known = signal.getsignal(signal.SIGTERM)
    made = known if isinstance(known, Request) else Request()
    ours = _free()
    if ours:
        signal.signal(signal.SIGTERM, made)
    try:
        yield made
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def heeding() -> Iterator[None]:
    """Break off what is done here at SIGTERM, also at one that was kept; afterwards SIGTERM is nobody's.

    Raises:
        StopRequested: it came.
    """
    with request() as made:
        try:
            with made.leading_to(_break_off):
                yield
        finally:
            if signal.getsignal(signal.SIGTERM) is made:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _break_off() -> None:
    raise StopRequested


def _free() -> bool:
    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
