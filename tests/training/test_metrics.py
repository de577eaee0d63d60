from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panderm.core.errors import InputError
from panderm.training.metrics import MetricsLog, batch_name, read_metrics, without_timing


def line(step: int) -> dict[str, float | int]:
    return {"step": step, "loss": 1 / step, "seconds": 0.1}


def test_metrics__steps_after_the_state_are_dropped_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in range(1, 6):
        log.add(line(step))
    log.close()
    with path.open("a") as stream:
        stream.write('{"step": 6, "lo')  # killed in the middle of a line
    resumed = MetricsLog(path, 3)
    resumed.add(line(4))
    resumed.close()
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3, 4]


def test_without_timing__leaves_what_follows_from_the_inputs() -> None:
    assert without_timing([line(2)]) == '{"step": 2, "loss": 0.5}\n'


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse every byte of a file beyond ``size``, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_metrics__what_a_full_disk_does_not_take_is_written_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    log.add(line(1))
    log.flush()
    with files_of_at_most(path.stat().st_size + 10):
        log.add(line(2))
        with pytest.raises(InputError, match=r"cannot write .*metrics.jsonl \(File too large\); make room there"):
            log.flush()
        assert [found["step"] for found in read_metrics(path)] == [1]
        assert path.read_bytes().endswith(b"\n")
    log.add(line(3))
    log.close()
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]


def test_batch_name__is_the_hash_of_the_names_in_their_order() -> None:
    assert batch_name(["one/00", "two/01"]) == hashlib.sha256(b"one/00\ntwo/01").hexdigest()[:8]
    assert batch_name(["two/01", "one/00"]) != batch_name(["one/00", "two/01"])
