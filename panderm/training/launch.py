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
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from panderm.core.errors import FailsAgain, PanDermError, TrainingFailed
from panderm.core.files import cannot_write, disk_is_full
from panderm.core.stopping import request
from panderm.training.nodes import ONE_NODE, Nodes
from panderm.training.orphans import GRACE_SECONDS, holding, mark, reap
from panderm.training.outcome import Heard, Word, tell
from panderm.training.parent_death import die_with_parent

STATUS_CRASH = 1  # a worker's exit status after an exception that is not meant for users
STATUS_ERROR = 4  # after one that is
STATUS_STOPPED = 75  # after a stop on request: EX_TEMPFAIL of <sysexits.h>
_AGENT_ERROR = re.compile(r"E\d{4} ")  # from here on torchrun speaks of itself
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")  # of the worker that failed first, in torchrun's summary
_TORCHRUN_GRACE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"  # seconds between SIGTERM and SIGKILL to its workers
_TAIL = 20  # lines of the log that a failure carries
_WITHOUT = "the training was asked to stop and ended without a new state; run the same command to go on"


class TrainingStopped(TrainingFailed):
    """The training was asked to stop (SIGTERM) and ended in order, with nothing lost; the same command goes on."""

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
        on_line: called with each line that the processes print to stdout, but for those of :mod:`panderm.training.outcome`;
            their stderr goes to the log alone.
        work: folder that at most one training uses at a time; left-over processes of a killed one are ended first.
            By default the folder of ``log``.
        nodes: this machine among those of the training; each of them calls this.
        environment: variables to add to the current ones.

    Raises:
        TrainingStopped: this process, or that of another machine, got SIGTERM, and the training followed it.
        TrainingFailed: the training ended otherwise than in success; the message carries the end of its log.
        Refused: another living training uses ``work``.
        InputError: ``work`` or the log cannot be written.
    """
    work, heard = work or log.parent, Heard()
    with holding(work), request() as stop:
        reap(work, say=on_line)
        with stop.leading_to(None), _opened(log) as stream:
            position = stream.tell()
            if stop.asked:
                raise TrainingStopped(_WITHOUT)
            process = _start(_command(module, config_path, nproc, nodes), stream, {**(environment or {}), **mark(work)})
            try:
                with stop.leading_to(process.terminate):
                    _follow(process, stream, heard, on_line)
            finally:
                _end(process, work, asked=stop.asked)
    _judge(process.returncode, stop.asked, heard, log, position)


def _command(module: str, config_path: Path, nproc: int, nodes: Nodes) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", *nodes.arguments(), f"--nproc-per-node={nproc}"]
    return [*torchrun, "-m", module, str(config_path)]


def _opened(log: Path) -> IO[bytes]:
    """Return the log to append to; without a buffer, which a full disk would not take at the end either."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab", buffering=0)
    except OSError as error:
        raise cannot_write(log, error) from error


def _start(command: list[str], log: IO[bytes], environment: Mapping[str, str]) -> subprocess.Popen[str]:
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


def _follow(process: subprocess.Popen[str], log: IO[bytes], heard: Heard, on_line: Callable[[str], None] | None) -> None:
    """Pass on lines until the process ends.

    SIGINT needs nothing: it arrives as KeyboardInterrupt, and :func:`_end` then stops the training in order.
    """
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(OSError):  # a full disk must not end a training by way of its log
            log.write(line.encode())
        if not heard.take(line) and on_line and line.strip():
            _pass_on(line.rstrip(), on_line)
    process.wait()


def _pass_on(line: str, on_line: Callable[[str], None]) -> None:
    try:
        on_line(line)
    except OSError as error:  # nor by way of a file that its lines go to
        if not disk_is_full(error):
            raise


def _end(process: subprocess.Popen[str], work: Path, asked: bool) -> None:
    """Leave nothing running: torchrun gets time to stop its workers, then whatever carries our mark is ended.

    Torchrun that is ``asked`` already is not asked again: a second SIGTERM would break off its waiting for the workers.
    """
    if process.poll() is None:
        if not asked:
            process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    reap(work)


def _judge(status: int, asked: bool, heard: Heard, log: Path, position: int) -> None:
    """Raise what a training's end means, unless it is success.

    Torchrun ends with 1 after any failure and after SIGTERM, so what the processes told counts first.

    Args:
        status: torchrun's.
        asked: whether SIGTERM was passed on to it.
        heard: from the processes.
        log: of all of them; this launch began at ``position``.
        position: bytes.

    Raises:
        FailsAgain: a process said what is wrong in a sentence for the user.
        TrainingStopped: every process followed SIGTERM, or could not yet.
        TrainingFailed: something failed.
    """
    if error := heard.first(Word.ERROR):
        raise FailsAgain(error)
    if stopped := heard.first(Word.STOPPED):  # told only once the state is saved, and by all
        raise TrainingStopped(stopped)
    if asked and heard.first(Word.ORDERLY) is None:  # it had not begun, or its states are those of its epochs
        raise TrainingStopped(_WITHOUT)
    crash = heard.first(Word.CRASH)
    if not status or (asked and crash is None and heard.first(Word.FINISHED) is not None):
        return
    lines = _since(log, position)
    agent = next((number for number, line in enumerate(lines) if _AGENT_ERROR.match(line)), len(lines))
    code = next((int(found[1]) for line in lines[agent:] if (found := _EXIT_CODE.search(line))), status)
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    why = f" ({crash})" if crash else " before it had followed SIGTERM" if asked else ""
    raise TrainingFailed(
        f"the training process {how}{why}; the same command goes on from its last state; the end of {log}:\n"
        + "\n".join(lines[:agent][-_TAIL:])
    )


def _since(log: Path, position: int) -> list[str]:
    heard = Heard()
    with log.open(errors="replace") as stream:
        stream.seek(position)
        return [line.rstrip() for line in stream if line.strip() and not heard.take(line)]


def end_in_order(together: Callable[[], None]) -> Callable[[], bool]:
    """Follow SIGTERM from now on: a training process that calls this ends with :class:`TrainingStopped`, its state saved.

    Args:
        together: returns when every process of the training has come here. Until then SIGTERM may end one of them at once, and
            the others for want of it; the launcher takes that for a stop, as nothing has been computed yet.

    Returns:
        Whether SIGTERM has come.
    """
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    together()
    tell(Word.ORDERLY)
    return lambda: bool(came)


def worker_main(run: Callable[[Path], None]) -> None:
    """Be a training process: die with torchrun, call ``run`` with the config's path, tell the launcher how it ended.

    It ends at once, without what Python does at its end: that waits without limit for loading processes and threads of which
    a failure may have left some, and a training that does not end costs more than one that fails.
    """
    die_with_parent(os.getppid())
    status = _ended(run)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _ended(run: Callable[[Path], None]) -> int:
    """Run, tell how it ended, and return the process's exit status."""
    try:
        run(Path(sys.argv[1]))
    except TrainingStopped as stop:
        tell(Word.STOPPED, stop)
        return STATUS_STOPPED  # not 0: torchrun would wait five minutes for the other machines, which may be gone
    except PanDermError as error:
        tell(Word.ERROR, error)
        return STATUS_ERROR
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else STATUS_CRASH if end.code else 0
    except BaseException as error:  # noqa: BLE001 - this is where the process ends
        with suppress(OSError):
            sys.stderr.write(traceback.format_exc())  # one write, as several processes may fail at once
        told = str(error).strip().splitlines()
        tell(Word.CRASH, f"{type(error).__name__}: {told[0]}" if told else type(error).__name__)
        return STATUS_CRASH
    tell(Word.FINISHED)
    return 0
