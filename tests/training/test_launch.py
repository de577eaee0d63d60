from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from panderm.core.errors import Refused, TrainingFailed
from panderm.training.launch import STATUS_STOPPED, TrainingStopped, _judge, launch, worker_main
from panderm.training.orphans import holding, mark, marked, reap

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
    with pytest.raises(TrainingFailed, match=r"^the corpus is empty; publish a dataset$"):
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


def test_judge__a_worker_that_stopped_on_request_is_no_failure(tmp_path: Path) -> None:
    """Its own status, as torchrun answers 1 for everything, tells a machine that was not asked itself."""
    log = tmp_path / "train.log"
    log.write_text("stopped after step 5\nE1124 01:00:00.000000 7 api.py:1] failed (exitcode: 75)\n  exitcode  : 75 (pid: 9)\n")
    _judge(1, log, 0)
    log.write_text(log.read_text().replace("75", "9"))
    with pytest.raises(TrainingFailed, match="ended with status 9"):
        _judge(1, log, 0)


def test_worker_main__ends_with_the_status_of_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_config: Path) -> None:
        raise TrainingStopped("stopped")

    monkeypatch.setattr("sys.argv", ["worker", "job.json"])
    monkeypatch.setattr("panderm.training.launch.die_with_parent", lambda _parent: None)
    with pytest.raises(SystemExit) as end:
        worker_main(stopped)
    assert end.value.code == STATUS_STOPPED
