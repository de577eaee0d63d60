"""One training at a time per work folder: a lock for living launchers, and the end of what a killed one left behind.

A launcher holds a lock file; the kernel drops the lock when the launcher ends, however it ends. Every process below it
carries the work folder in its environment, so that whatever survived (workers, loaders) can be found without guessing.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panderm.core.errors import Refused
from panderm.core.files import cannot_write

MARK = "PANDERM_TRAINING_WORK"  # environment variable that marks every process of a launch
GRACE_SECONDS = 150.0
"""For a last state: the step at hand, and 4 GiB (preset large) to a slow disk. torchrun gives its workers the same; schedulers
have to give more (ops/slurm, ops/kubernetes: 180 s)."""
_LOCK = "launch.lock"


@contextmanager
def holding(work: Path) -> Iterator[None]:
    """Hold the work folder's lock.

    Raises:
        Refused: another living training uses this folder.
        InputError: the folder cannot be written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        stream = (work / _LOCK).open("ab+", buffering=0)
    except OSError as error:
        raise cannot_write(work, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read().decode().strip() or "unknown"
            raise Refused(f"{work} is in use by a training (process {holder}); wait for it or stop it first") from error
        with suppress(OSError):  # the number is for the message alone; the lock needs no room on a full disk
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        yield


def mark(work: Path) -> dict[str, str]:
    """Return the environment entry that marks processes of a launch in ``work``."""
    return {MARK: str(work.resolve())}


def marked(work: Path) -> list[int]:
    """Return the living processes of a launch in ``work``, other than this one; empty where there is no ``/proc``."""
    entry = f"{MARK}={work.resolve()}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0") and _alive(folder):
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile, or belongs to somebody else
            continue
    return [pid for pid in found if pid != os.getpid()]


def _alive(folder: Path) -> bool:
    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    return state not in ("Z", "X")


def reap(work: Path, grace: float = GRACE_SECONDS, say: Callable[[str], None] | None = None) -> int:
    """End what a former launch in ``work`` left: SIGTERM, time for a last state, then SIGKILL; return how many.

    Torchrun is only waited for: the kernel has sent it SIGTERM when its launcher went, and a second one would break off its
    waiting for the workers.

    Args:
        work: of the launch.
        grace: seconds until SIGKILL.
        say: told before and after waiting, if there is anything to wait for.
    """
    left = marked(work)
    if left and say:
        say(f"waiting, {grace:.0f} s at most, for {len(left)} process(es) of a killed training, which may be saving its state")
    _signal([pid for pid in left if not _is_torchrun(pid)], signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (now := marked(work)) and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(now, signal.SIGKILL)
    while now and marked(work) and time.monotonic() < deadline + grace:
        time.sleep(0.05)
    if left and say:
        say(f"{len(left)} process(es) of the killed training have ended")
    return len(left)


def _is_torchrun(pid: int) -> bool:
    with suppress(OSError):
        return b"torch.distributed.run" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it ended meanwhile
            continue
