from __future__ import annotations

from typing import Any

import pytest

from panderm.training.estimate import Estimate, Measured, estimate, lines

PAPER = Measured(
    device="NVIDIA H100 80GB HBM3",
    processes=4,
    cores=16,
    steps=559_500,
    steps_per_epoch=1_119,
    batch=1_920,
    skipped=67,
    step_seconds=(0.3, 0.32, 0.34),
    data_wait=0.01,
    watts=600.0,
    peak_memory=61_000_000_000,
    state_bytes=4_000_000_000,
    result_bytes=1_400_000_000,
    shard_bytes=120_000_000_000,
    metric_bytes=400,
)


def bill(looks: float = 0.0, given: float = 0.0, free: int = 0, workers: int = 8, **changes: Any) -> Estimate:
    measured = PAPER.model_copy(update=changes)
    return estimate(measured, "large", workers=workers, kept=2, looks=looks, watts=given, free=free)


def test_estimate__hours_and_energy_follow_from_the_mean_step() -> None:
    found = bill()
    assert found.hours == pytest.approx(559_500 * 0.32 / 3600)
    assert found.gpu_hours == pytest.approx(4 * found.hours)
    assert found.kilowatt_hours == pytest.approx(2.4 * found.hours)
    assert found.images_per_second == pytest.approx(6_000)
    assert found.images == 559_500 * 1_920
    assert found.warnings == ()
    assert bill(looks=0.02).hours == pytest.approx(1.02 * found.hours)


def test_estimate__storage_counts_what_stands_beside_each_other() -> None:
    assert bill().storage_bytes == {
        "states": 12_000_000_000,
        "encoder and regressor": 2_800_000_000,
        "metrics": 223_800_000,
        "shards (read)": 120_000_000_000,
    }


@pytest.mark.parametrize(
    ("changes", "watts", "source"),
    [
        ({}, 2400, "measured: 600 W a GPU"),
        ({"watts": None}, 2800, "assumed: 700 W a GPU"),
        ({"device": "cpu", "watts": None, "processes": 1, "cores": 2}, 20, "assumed: 10 W a core, 2 cores"),
    ],
)
def test_estimate__says_where_the_watts_come_from(changes: dict[str, Any], watts: float, source: str) -> None:
    found = bill(**changes)
    assert found.watts == watts
    assert found.watts_from.startswith(source)
    assert (bill(given=5000).watts, bill(given=5000).watts_from) == (5000, "as given")


def test_estimate__warns_of_a_loader_that_is_too_slow_and_of_a_full_disk() -> None:
    slow = bill(data_wait=0.5)
    assert slow.warnings == (
        "the loader is the bottleneck: 50% of the time waits for data; set workers to 16 (now 8) if there are as many free "
        "cores a process",
    )
    assert "set workers to 1 (now 0)" in bill(data_wait=0.06, workers=0).warnings[0]
    assert bill(free=20_000_000_000).warnings == ()
    assert "16.0 GB free, but the run needs 15.0 GB" in bill(free=16_000_000_000).warnings[0]


def test_lines__a_bill_to_read() -> None:
    told = lines(bill(data_wait=0.3))
    assert told[0].startswith("dry run: preset large, 4 process(es) on NVIDIA H100 80GB HBM3, 3 steps measured after 67")
    assert "  full run  559,500 steps of 1,920 images (500 epochs of 1,119)" in told
    assert "  time      49.7 h (2.1 days)" in told
    assert "  GPU-hours 198.9" in told
    assert told[-1].startswith("warning: the loader is the bottleneck")
    assert "  GPU-hours none: measured on a CPU" in lines(bill(device="cpu"))
