from __future__ import annotations

from pathlib import Path

from panderm.training.metrics import MetricsLog, read_metrics, without_timing


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
