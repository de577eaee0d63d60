"""Looking at many files in several processes: results in order, a bounded amount under way, nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from panderm.core.errors import InputError
from panderm.imaging.store import Job, Stored, store

UNDER_WAY = 128 << 20
"""Delivered bytes under way at once, so that memory does not grow with the delivery or with the size of its photos."""


def look_at(jobs: list[Job], workers: int, pool_from: int) -> Iterator[Stored]:
    """Yield what became of each file, in the order of ``jobs``.

    Args:
        jobs: the files.
        workers: processes; below 2 the work is done in this one.
        pool_from: fewer jobs than this are done in this process.

    Raises:
        InputError: a worker process was killed, as a rule for want of memory.
    """
    if workers < 2 or len(jobs) < pool_from:
        yield from map(store, jobs)
        return
    # Started afresh instead of forked: the caller may be a server with threads.
    context = multiprocessing.get_context("spawn")
    window: deque[tuple[Job, Future[Stored]]] = deque()
    under_way = 0
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            for job in jobs:
                while len(window) >= 16 * workers or (window and under_way + job.size > UNDER_WAY):
                    yield window[0][1].result()
                    under_way -= window.popleft()[0].size
                window.append((job, pool.submit(store, job)))
                under_way += job.size
            while window:
                yield window[0][1].result()
                window.popleft()
        except BrokenProcessPool as error:
            first = window[0][0].path
            raise InputError(
                f"a worker process was killed while it read {first} or one of the {len(window) - 1} files after it, most "
                "likely for want of memory; run again with --set workers=1, and with a lower --set pixel_cap=N if that dies too"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Let this worker end when its parent does; after a ``kill -9`` it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
