"""Start a training process the way production starts it: torchrun, in a session of its own.

A crash, an out-of-memory kill or a ``kill -9`` of the training never takes the caller along, and nothing of a training
outlives its caller: the kernel tells torchrun when the caller goes, and the workers when torchrun goes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from panderm.core.errors import PanDermError, TrainingFailed
from panderm.training.nodes import ONE_NODE, Nodes
from panderm.training.orphans import GRACE_SECONDS, holding, mark, reap
from panderm.training.parent_death import die_with_parent

ERROR_PREFIX = "error: "  # a worker's line for an error meant for the user
STATUS_ERROR = 4  # a worker's exit status with it
STATUS_STOPPED = 75  # a worker's after a stop on request: EX_TEMPFAIL of <sysexits.h>
_AGENT_ERROR = re.compile(r"E\d{4} ")  # from here on torchrun speaks of itself
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")  # of the worker that failed first, in torchrun's summary
_TORCHRUN_GRACE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"  # seconds between SIGTERM and SIGKILL to its workers
_TAIL = 20  # lines of the log that a failure carries


class TrainingStopped(TrainingFailed):
    """The training was asked to stop (SIGTERM), saved its state and ended in order; the same command goes on."""

    exit_code = 0


def launch(
    module: str,
    config_path: Path,
    nproc: int,
    log: Path,
    on_line: Callable[[str], None] | None = None,
    *,
    work: Path | None = None,
    nodes: Nodes = ONE_NODE,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run ``torchrun --nproc-per-node=nproc -m module config_path`` on this machine and wait for its end.

    Args:
        module: a module that can be run with ``-m``; it calls :func:`worker_main`.
        config_path: the resolved configuration, the module's one argument.
        nproc: processes on this machine, one per GPU; 1 or 2 on a CPU.
        log: file that every line of all processes is appended to.
        on_line: called with each line that the processes print to stdout; their stderr goes to the log alone.
        work: folder that at most one training uses at a time; left-over processes of a killed one are ended first.
            By default the folder of ``log``.
        nodes: this machine among those of the training; each of them calls this.
        environment: variables to add to the current ones.

    Raises:
        TrainingStopped: this process, or that of another machine, got SIGTERM; the training saved its state.
        TrainingFailed: the training ended otherwise than in success; the message carries the end of its log.
        Refused: another living training uses ``work``.
    """
    work = work or log.parent
    with holding(work):
        reaped = reap(work)
        if reaped and on_line:
            on_line(f"ended {reaped} process(es) that a killed training had left")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as stream:
            position = stream.tell()
            process = _start(_command(module, config_path, nproc, nodes), stream, {**(environment or {}), **mark(work)})
            try:
                stopped = _follow(process, stream, on_line)
            finally:
                _end(process, work)
    if not stopped and process.returncode:
        _judge(process.returncode, log, position)
        stopped = True
    if stopped:
        raise TrainingStopped(f"the training was asked to stop and saved its state in {work}; run the same command to go on")


def _command(module: str, config_path: Path, nproc: int, nodes: Nodes) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", *nodes.arguments(), f"--nproc-per-node={nproc}"]
    return [*torchrun, "-m", module, str(config_path)]


def _start(command: list[str], log: IO[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    guarded = [sys.executable, "-m", "panderm.training.parent_death", str(os.getpid()), *command]
    return subprocess.Popen(
        guarded,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        bufsize=1,
        errors="replace",
        # Threads that wait for each other sleep: on a machine with other work, spinning cost nine tenths of the speed.
        env={
            "OMP_WAIT_POLICY": "PASSIVE",
            _TORCHRUN_GRACE: str(int(GRACE_SECONDS)),
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[str], log: IO[str], on_line: Callable[[str], None] | None) -> bool:
    """Pass on lines until the process ends; return whether it was SIGTERM to us that ended it."""
    assert process.stdout is not None
    with _forwarding(process) as asked:
        for line in process.stdout:
            with suppress(OSError):  # a full disk must not end a training by way of its log
                log.write(line)
                log.flush()
            if on_line and line.strip():
                on_line(line.rstrip())
        process.wait()
    return bool(asked)


@contextmanager
def _forwarding(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Forward SIGTERM while the training runs, where nobody else (a Dagster run, say) handles it already.

    SIGINT needs nothing: it arrives as KeyboardInterrupt, and :func:`_end` then stops the training in order.
    """
    asked: list[int] = []
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    def forward(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        process.send_signal(number)

    if ours:
        signal.signal(signal.SIGTERM, forward)
    try:
        yield asked
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(process: subprocess.Popen[str], work: Path) -> None:
    """Leave nothing running: torchrun gets time to stop its workers, then whatever carries our mark is ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    reap(work)


def _judge(status: int, log: Path, position: int) -> None:
    """Raise what a training's end in failure means, from what its log says from ``position`` on; return if it was a stop.

    Raises:
        TrainingFailed: it was not.
    """
    with log.open(errors="replace") as stream:
        stream.seek(position)
        lines = [line.rstrip() for line in stream if line.strip()]
    told = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
    if told:
        raise TrainingFailed(told[0])
    agent = next((number for number, line in enumerate(lines) if _AGENT_ERROR.match(line)), len(lines))
    code = next((int(found[1]) for line in lines[agent:] if (found := _EXIT_CODE.search(line))), status)
    if code == STATUS_STOPPED:
        return
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    raise TrainingFailed(
        f"the training process {how}; the same command goes on from its last state; the end of {log}:\n"
        + "\n".join(lines[:agent][-_TAIL:])
    )


def worker_main(run: Callable[[Path], None]) -> None:
    """Be a training process: die with torchrun, call ``run`` with the config's path, tell user errors in one line."""
    die_with_parent(os.getppid())
    try:
        run(Path(sys.argv[1]))
    except TrainingStopped:
        # Not 0: torchrun would wait five minutes for the other machines, which may be gone.
        sys.exit(STATUS_STOPPED)
    except PanDermError as error:
        sys.stdout.write(f"{ERROR_PREFIX}{error}\n")  # one write, so that lines of several processes stay apart
        sys.stdout.flush()
        sys.exit(STATUS_ERROR)
