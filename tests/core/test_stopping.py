from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from panderm.core.stopping import StopRequested, heeding, listen, request


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def free() -> bool:
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_heeding__breaks_off_and_leaves_the_signal_as_it_was() -> None:
    with pytest.raises(StopRequested), heeding():
        ask()
        pytest.fail("it went on")
    assert free()


def test_heeding__follows_a_signal_that_came_before() -> None:
    listen()
    ask()
    with pytest.raises(StopRequested), heeding():
        pytest.fail("it began")
    assert free()


def test_stop_requested__is_not_taken_for_an_error_on_the_way() -> None:
    with pytest.raises(StopRequested), heeding():
        try:
            ask()
        except Exception:  # noqa: BLE001 - as others catch it
            pytest.fail("an optional import, say, would swallow it")


def test_request__within_another_is_the_same_and_leads_elsewhere_for_a_while() -> None:
    acts: list[str] = []
    with heeding(), request() as inner:
        with inner.leading_to(lambda: acts.append("passed on")):
            ask()
            ask()  # schedulers repeat themselves
        assert (acts, inner.asked) == (["passed on"], True)
    assert free()


def test_request__keeps_what_comes_between_and_acts_on_it_once() -> None:
    acts: list[str] = []
    with request() as made:
        with made.leading_to(None):
            ask()
            assert made.asked
            with made.leading_to(lambda: acts.append("passed on")):
                ask()
        assert acts == ["passed on"]
    assert free()


def test_request__leaves_the_signal_to_whoever_handles_it() -> None:
    heard: list[int] = []

    def theirs(number: int, _frame: object) -> None:
        heard.append(number)

    signal.signal(signal.SIGTERM, theirs)
    listen()
    with heeding(), request() as made:
        ask()
        assert not made.asked
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is theirs


def test_heeding__in_a_thread_changes_nothing() -> None:
    def work() -> bool:
        with heeding():
            return free()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result()
