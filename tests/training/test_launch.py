from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from panderm.core.errors import FailsAgain, InputError, Refused, TrainingFailed
from panderm.training.launch import STATUS_CRASH, STATUS_ERROR, STATUS_STOPPED, TrainingStopped, _judge, _pass_on, launch
from panderm.training.orphans import holding, mark, marked, reap
from panderm.training.outcome import Heard

Toy = Callable[[str], str]


def wait_for(condition: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_launch__streams_lines_and_sets_the_rank(tmp_path: Path, toy_module: Toy) -> None:
    module = toy_module(
        "sys.stdout.write(f\"rank {os.environ['RANK']} {config.read_text()}\\n\"); sys.stderr.write('noise\\n')"
    )
    (tmp_path / "config.json").write_text("{}")
    lines: list[str] = []
    launch(module, tmp_path / "config.json", 2, tmp_path / "work" / "train.log", lines.append)
    assert sorted(lines) == ["rank 0 {}", "rank 1 {}"]
    assert (tmp_path / "work" / "train.log").read_text().count("noise") == 2


@pytest.mark.slow
def test_launch__user_errors_come_back_as_one_sentence(tmp_path: Path, toy_module: Toy) -> None:
    module = toy_module("raise InputError('the corpus is empty; publish a dataset')")
    with pytest.raises(FailsAgain, match=r"^the corpus is empty; publish a dataset$"):
        launch(module, tmp_path / "config.json", 1, tmp_path / "train.log")


@pytest.mark.slow
def test_launch__a_crash_carries_the_end_of_the_log(tmp_path: Path, toy_module: Toy) -> None:
    (tmp_path / "train.log").write_text("a former run said this\n")
    with pytest.raises(TrainingFailed, match=r"ended with status 1(.|\n)*kaboom") as failure:
        launch(toy_module("raise RuntimeError('kaboom')"), tmp_path / "config.json", 1, tmp_path / "train.log")
    assert "a former run" not in str(failure.value)
    assert "ChildFailedError" not in str(failure.value)


@pytest.mark.slow
def test_launch__names_the_signal_that_killed_a_worker(tmp_path: Path, toy_module: Toy) -> None:
    with pytest.raises(TrainingFailed, match="ended by SIGKILL"):
        launch(toy_module("os.kill(os.getpid(), signal.SIGKILL)"), tmp_path / "config.json", 1, tmp_path / "train.log")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_launch__nothing_survives_a_killed_caller(tmp_path: Path, toy_module: Toy) -> None:
    module = toy_module("Path('alive').touch(); time.sleep(300)")
    code = (
        "from pathlib import Path; from panderm.training.launch import launch; "
        f"launch({module!r}, Path('c'), 1, Path('work/log'))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    wait_for((tmp_path / "alive").exists)
    assert marked(tmp_path / "work")
    caller.kill()
    caller.wait()
    wait_for(lambda: not marked(tmp_path / "work"))


@pytest.mark.slow
def test_launch__sigterm_is_forwarded_and_reported_as_a_stop(tmp_path: Path, toy_module: Toy) -> None:
    module = toy_module(
        "def stop(number, frame):\n    Path('saved').touch()\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nPath('alive').touch()\ntime.sleep(300)"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom panderm.training.launch import TrainingStopped, launch\n"
        f"try: launch({module!r}, Path('c'), 1, Path('work/log'))\nexcept TrainingStopped: sys.exit(77)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    wait_for((tmp_path / "alive").exists)
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(40) == 77
    assert (tmp_path / "saved").exists()
    assert not marked(tmp_path / "work")


def test_holding__refuses_a_second_launch(tmp_path: Path) -> None:
    with (
        holding(tmp_path),
        pytest.raises(Refused, match=f"in use by a training \\(process {os.getpid()}\\)"),
        holding(tmp_path),
    ):
        pass
    with holding(tmp_path):
        pass


def test_reap__ends_what_carries_the_mark_and_nothing_else(tmp_path: Path) -> None:
    ours = subprocess.Popen(["sleep", "300"], env={**os.environ, **mark(tmp_path / "a")})
    other = subprocess.Popen(["sleep", "300"], env={**os.environ, **mark(tmp_path / "b")})
    try:
        wait_for(lambda: marked(tmp_path / "a") and marked(tmp_path / "b"))
        assert reap(tmp_path / "a") == 1
        assert ours.wait(5) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_reap__says_what_it_waits_for_and_leaves_torchrun_its_time(tmp_path: Path) -> None:
    """The kernel has sent torchrun SIGTERM already; a second one would end its waiting for the workers."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print(1, flush=True); time.sleep(2)"
    )
    torchrun = subprocess.Popen(
        [sys.executable, "-c", code, "torch.distributed.run"], env={**os.environ, **mark(tmp_path)}, stdout=subprocess.PIPE
    )
    assert torchrun.stdout is not None
    torchrun.stdout.readline()
    said: list[str] = []
    assert reap(tmp_path, say=said.append) == 1
    assert torchrun.wait(5) == 0
    assert said[0].startswith("waiting, 150 s at most, for 1 process(es) of a killed training")
    assert said[1:] == ["1 process(es) of the killed training have ended"]
    assert reap(tmp_path, say=said.append) == 0
    assert len(said) == 2


def test_reap__kills_what_ignores_sigterm(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(300)"
    deaf = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **mark(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert deaf.stdout is not None
    deaf.stdout.readline()
    reap(tmp_path, grace=0.3)
    assert deaf.wait(5) == -signal.SIGKILL


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.log"
    path.write_text("step 5\nE1124 01:00:00.000000 7 api.py:1] failed (exitcode: 9)\n  exitcode  : 9 (pid: 9)\n")
    return path


SAVED = "stopped: asked to stop, saved after step 5"


@pytest.mark.parametrize(
    ("asked", "told", "sentence"),
    [
        (True, ["orderly:", SAVED], "asked to stop, saved after step 5"),
        (False, ["orderly:", SAVED, "crash: RuntimeError: the other machine has gone"], "asked to stop, saved after step 5"),
        (True, [], "asked to stop and ended without a new state"),
        (True, ["crash: RuntimeError: a process that had not begun has gone"], "asked to stop and ended without a new state"),
    ],
)
def test_judge__a_stop_is_one_only_as_the_processes_tell_it(log: Path, asked: bool, told: list[str], sentence: str) -> None:
    """Torchrun answers 1 for everything; and a machine that was not asked itself hears it from its processes."""
    with pytest.raises(TrainingStopped, match=sentence):
        _judge(1, asked, heard(*told), log, 0)


@pytest.mark.parametrize(
    ("asked", "told", "sentence"),
    [
        (True, ["orderly:", "error: cannot save the state; make room"], "^cannot save the state; make room$"),
        (True, ["orderly:"], "ended with status 9 before it had followed SIGTERM; the same command"),
        (True, ["orderly:", "crash: MemoryError"], r"ended with status 9 \(MemoryError\); the same command"),
        (False, ["crash: A: first", "crash: B: for want of the first", "error: a shard is missing"], "^a shard is missing$"),
        (
            False,
            ["crash: A: first", "crash: B: for want of the first"],
            r"ended with status 9 \(A: first\).*end of .*:\nstep 5$",
        ),
    ],
)
def test_judge__a_stop_that_failed_is_a_failure(log: Path, asked: bool, told: list[str], sentence: str) -> None:
    with pytest.raises(TrainingFailed, match=sentence) as failure:
        _judge(1, asked, heard(*told), log, 0)
    assert not isinstance(failure.value, TrainingStopped)


def test_judge__a_training_that_had_finished_when_it_was_asked_is_finished(log: Path) -> None:
    _judge(1, True, heard("orderly:", "finished:"), log, 0)


def heard(*lines: str) -> Heard:
    found = Heard()
    for line in lines:
        assert found.take(f"{line} \n")
    return found


def test_heard__progress_is_for_others() -> None:
    assert not Heard().take("step 3/12 loss 0.5\n")
    assert not Heard().take("warning: cannot save\n")


@pytest.mark.slow
def test_launch__a_full_disk_takes_no_log_and_changes_nothing_else(tmp_path: Path, toy_module: Toy) -> None:
    """The error is heard, not read from the log, and comes once; the lines arrive."""
    (tmp_path / "train.log").symlink_to("/dev/full")
    lines: list[str] = []
    module = toy_module("print('begun'); raise InputError('cannot save the state; make room there')")
    with pytest.raises(TrainingFailed, match=r"^cannot save the state; make room there$"):
        launch(module, tmp_path / "config.json", 1, tmp_path / "train.log", lines.append, work=tmp_path / "work")
    assert lines == ["begun"]


def test_launch__a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*log .*; choose a folder you may write to"):
        launch("none", tmp_path / "config.json", 1, tmp_path / "file" / "log", work=tmp_path / "work")


def test_holding__needs_no_room(tmp_path: Path) -> None:
    (tmp_path / "launch.lock").symlink_to("/dev/full")
    with holding(tmp_path):
        pass


def test_pass_on__a_full_disk_below_the_listener_does_not_end_a_training() -> None:
    def listener(number: int) -> Callable[[str], None]:
        def listen(_line: str) -> None:
            raise OSError(number, "no")

        return listen

    _pass_on("step 1", listener(errno.ENOSPC))
    with pytest.raises(BrokenPipeError):
        _pass_on("step 1", listener(errno.EPIPE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("raise TrainingStopped('saved after step 5')", STATUS_STOPPED, "stopped: saved after step 5\n"),
        ("raise InputError('two\\nlines')", STATUS_ERROR, "error: two lines\n"),
        ("raise RuntimeError('kaboom\\nand more')", STATUS_CRASH, "crash: RuntimeError: kaboom\n"),
        ("raise KeyboardInterrupt", STATUS_CRASH, "crash: KeyboardInterrupt\n"),
        ("pass", 0, "finished: \n"),
    ],
)
def test_worker_main__tells_how_it_ended_and_waits_for_nothing(
    tmp_path: Path, toy_module: Toy, body: str, status: int, told: str
) -> None:
    """A thread, and a child process that does not follow SIGTERM, are what Python would wait for."""
    left = (
        "import multiprocessing, threading\nthreading.Thread(target=time.sleep, args=(300,)).start()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "multiprocessing.get_context('fork').Process(target=time.sleep, args=(300,), daemon=True).start()\n"
    )
    toy_module(left + body)
    child = subprocess.Popen(
        [sys.executable, "-m", "toy", "config"],
        cwd=tmp_path,
        env={**os.environ, **mark(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.wait(60) == status
    finally:
        reap(tmp_path, grace=0)
    assert child.stdout is not None
    assert child.stdout.read() == told
