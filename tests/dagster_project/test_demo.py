from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project import demo
from dagster_project.instance import POSTGRES_VARIABLE, prepare_home
from panderm.core.layout import Layout


def run(layout: Layout, capfd: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = demo.main(["--workspace", str(layout.root), "--no-synthesize", *options])
    return status, capfd.readouterr().out


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_project.defs.operations.ask_triton", lambda layout, on_line: [{"task": "ham10000"}])


def test_demo__walks_the_plan_with_a_line_an_asset(
    layout: Layout, stages: Any, answered: None, capfd: pytest.CaptureFixture[str]
) -> None:
    status, said = run(layout, capfd)
    assert status == 0, said
    heads = [line for line in said.splitlines() if line and not line.startswith(" ")][1:]
    assert heads[:7] == [
        "ingest_source mym",
        "ingest_source isic2024",
        "ingest_benchmark ham10000",
        "pretrain",
        "one_task ham10000",
        "operations",
        "reporting",
    ]
    assert "+ delivery_manifest    3 images" in said
    assert "+ contract             1 of 2 rules hold; warned: age" in said
    assert "loss 2.0000 -> 0.5000" in said
    assert str(layout.reports / "index.html") in said
    assert "dagster" not in said.lower().replace("dagster's own words are in", "").replace(".dagster_home", "")


def test_demo__keeps_its_runs_for_the_ui(
    layout: Layout, stages: Any, answered: None, capfd: pytest.CaptureFixture[str]
) -> None:
    run(layout, capfd)
    with dg.DagsterInstance.get() as instance:
        jobs = [run.job_name for run in instance.get_runs()]
        assert jobs[::-1][:2] == ["everything", "ingest_source"]
        assert instance.get_materialized_partitions(dg.AssetKey("published_source")) == {"mym", "isic2024"}
    assert "step 1 of 1, loss 0.5" in (layout.root / ".dagster_home" / demo.LOG).read_text()


def test_demo__goes_on_past_what_is_held_back(
    layout: Layout, stages: Any, answered: None, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(layout.landing("mym"), layout.landing("edu1"))
    stages.bad_datasets.add("mym")
    stages.outcomes["ham10000"] = "insufficient_evidence"
    status, said = run(layout, capfd)
    assert status == 0, "held back is what checks are for, not a failure of the demo"
    assert "x contract             images: 0, expected at least 1" in said
    assert "held back: delivery_manifest mym: images: 0, expected at least 1" in said
    assert "held back: verdict ham10000: insufficient evidence: lower end 0.4, floor 0.5." in said
    assert "release ham10000" not in stages.calls


def test_demo__a_failed_asset_is_told_and_is_the_exit_status(
    layout: Layout, stages: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    stages.broken["finetune"] = RuntimeError("an asset broke")
    status, said = run(layout, capfd)
    assert status == 1
    assert "failed: task_model: RuntimeError: an asset broke" in said
    assert "failed: serving_check: nothing is released" in said
    assert str(layout.reports / "index.html") in said, "the report is made all the same"


def test_demo__a_wrong_setting_is_one_sentence(
    layout: Layout, stages: Any, answered: None, capfd: pytest.CaptureFixture[str]
) -> None:
    layout.params.write_text("pretrain: {speed: 11}\n")
    status, said = run(layout, capfd)
    assert status == 1
    assert "failed: encoder: pretrain settings: unknown key 'speed'" in said


def test_prepare_home__creates_the_tables_and_takes_the_storage_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    home = prepare_home(tmp_path)
    assert home == tmp_path / "home"
    assert "postgres_url" not in (home / "dagster.yaml").read_text()
    with sqlite3.connect(home / "history" / "runs.db") as runs:
        assert runs.execute("select count(*) from runs").fetchone() == (0,)
    before = (home / "dagster.yaml").read_text()
    prepare_home(tmp_path)
    assert (home / "dagster.yaml").read_text() == before
    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.event_log_storage.get_pool_config().default_pool_limit == 1
    assert POSTGRES_VARIABLE not in before
