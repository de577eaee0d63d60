from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_project.recording import CHECKOUT, NOT_IN_DVC, TASKS_FILE, Finished, dvc_stages, finished, prepare_workspace
from dagster_project.resources import Dvc, Workspace
from panderm.catalog import demo_datasets, runnable_benchmarks
from panderm.core.config import read_params
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.pipeline import STAGE_NAMES

Execute = Callable[..., dg.ExecuteInProcessResult]
RECORDED = [task for task in runnable_benchmarks() if task.demo]
"""Tasks of the workspace under test: DVC needs seconds for each."""


def stages_of(layout: Layout) -> list[str]:
    """The DVC stages of the recorded tasks, in pipeline order."""
    left_out = {task.key for task in runnable_benchmarks()} - {task.key for task in RECORDED}
    return [name for name in dvc_stages(layout) if name.partition("@")[2] not in left_out]


def declared() -> dict[str, dict[str, Any]]:
    """dvc.yaml's stages with ``foreach`` written out for every runnable task."""
    stages: dict[str, dict[str, Any]] = {}
    for name, stage in yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"].items():
        if "foreach" not in stage:
            stages[name] = stage
            continue
        for task in runnable_benchmarks():
            stages[f"{name}@{task.key}"] = yaml.safe_load(yaml.safe_dump(stage["do"]).replace("${item}", task.key))
    return stages


def outputs(stage: dict[str, Any]) -> list[str]:
    """A stage's outs without their settings (``persist``)."""
    return [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]


def test_dvc_yaml__keeps_earlier_splits_while_curate_runs_again() -> None:
    assert {"artifacts/splits": {"persist": True}} in declared()["curate"]["outs"], "a repro would deal test patients anew"


def test_dvc_yaml__has_the_stages_in_order_over_the_recorded_tasks() -> None:
    document = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())
    assert document["vars"] == [TASKS_FILE]
    assert list(document["stages"]) == [name for name in STAGE_NAMES if name not in NOT_IN_DVC]
    over = {name: stage.get("foreach") for name, stage in document["stages"].items()}
    assert over == {
        "curate": None,
        "pretrain": None,
        "finetune": "${judged}",
        "evaluate": "${judged}",
        "gate": "${judged}",
        "export": "${passed}",
    }


def test_dvc_tasks__are_runnable_and_what_passed_was_judged() -> None:
    tasks = yaml.safe_load((CHECKOUT / TASKS_FILE).read_text())
    assert set(tasks["passed"]) <= set(tasks["judged"]) <= {task.key for task in runnable_benchmarks()}


def test_dvc_yaml__writes_where_the_layout_says() -> None:
    layout = Layout(Path("/workspace"))
    outs = {name: tuple(layout.root / out for out in outputs(stage)) for name, stage in declared().items()}
    assert outs == dvc_stages(layout)
    assert not any(out == layout.data or layout.data in out.parents for stage in outs.values() for out in stage)


def test_dvc_yaml__calls_the_stage_commands_and_reads_their_section() -> None:
    for name, stage in declared().items():
        command, _, task = name.partition("@")
        assert stage["cmd"] == f"panderm {command} {task}".strip()
        assert stage["params"] == [command]
        assert command in read_params(CHECKOUT / "params.yaml")


def test_dvc_yaml__reads_only_data_and_what_an_earlier_stage_wrote() -> None:
    written = ["data"]
    for name, stage in declared().items():
        for dep in stage["deps"]:
            assert any(dep == out or dep.startswith(f"{out}/") for out in written), f"{name} reads {dep} before it is made"
        written += outputs(stage)


def save(folder: Path, **hashes: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Record(stage="stand-in", hashes=hashes).save(folder)


@pytest.fixture
def recorded(layout: Layout) -> Layout:
    """A workspace in which every stage has left something, under DVC."""
    for number, dataset in enumerate(demo_datasets()):
        folder = layout.published(dataset.key)
        folder.mkdir(parents=True)
        (folder / "manifest.parquet").write_bytes(b"rows %d" % number)
    save(layout.corpus, corpus="c1")
    save(layout.pretrained, corpus="c1", encoder="e1")
    for task in RECORDED:
        save(layout.split(task.key), split="s1")
        save(layout.model(task.key), split="s1", encoder="e1", model="m1")
        save(layout.evaluation(task.key), model="m1", split="s1", report="r1")
        save(layout.verdict(task.key), model_sha256="m1", report_sha256="r1", verdict="v1")
        save(layout.bundle(task.key), model="m1", verdict="v1", bundle="b1")
    prepare_workspace(layout)
    return layout


def contents(layout: Layout) -> dict[str, bytes]:
    files = [path for folder in (layout.data, layout.artifacts) for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in files}


def dvc(layout: Layout, *arguments: str) -> str:
    """DVC as a user calls it, with a stand-in ``panderm`` that notes that it was called."""
    tools = layout.root / "tools"
    tools.mkdir(exist_ok=True)
    command = tools / "panderm"
    command.write_text(
        f'#!{sys.executable}\nimport sys\nopen("{layout.root}/called", "a").write(" ".join(sys.argv[1:]) + "\\n")\n'
    )
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=layout.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_dvc_snapshot__leaves_dvc_clean_and_a_lost_workspace_comes_back(execute: Execute, recorded: Layout) -> None:
    result = execute("operations", None, "dvc_snapshot")
    assert result.success
    metadata = result.asset_materializations_for_node("dvc_snapshot")[0].metadata
    assert metadata["dvc status"].value == "clean"
    assert metadata["data files"].value == len(demo_datasets())
    assert metadata["stages recorded"].value == len(stages_of(recorded))
    before = contents(recorded)

    assert "up to date" in dvc(recorded, "status")
    dvc(recorded, "repro")
    assert not (recorded.root / "called").exists(), "repro ran a stage although nothing had changed"

    dvc(recorded, "push")
    for folder in ("data", "artifacts", ".dvc/cache"):
        subprocess.run(["rm", "-rf", str(recorded.root / folder)], check=True)
    dvc(recorded, "pull")
    assert contents(recorded) == before
    assert "up to date" in dvc(recorded, "status")


@pytest.mark.slow
def test_dvc_snapshot__is_clean_too_when_a_gate_held_a_task_back(execute: Execute, recorded: Layout) -> None:
    shutil.rmtree(recorded.bundle("pad_ufes"))
    assert execute("operations", None, "dvc_snapshot").success
    assert "up to date" in dvc(recorded, "status")
    assert "pad_ufes" not in yaml.safe_load((recorded.root / TASKS_FILE).read_text())["passed"]


@pytest.mark.slow
def test_dvc_repro__runs_the_stage_whose_setting_changed(execute: Execute, recorded: Layout) -> None:
    assert execute("operations", None, "dvc_snapshot").success
    params = recorded.params.read_text()
    recorded.params.write_text(params.replace("gate: {}", "gate: {floor: 0.9}"))
    assert recorded.params.read_text() != params
    changed = Dvc(workspace=Workspace(root=str(recorded.root))).status()
    assert set(changed) == {f"gate@{task.key}" for task in RECORDED}


def test_finished__everything_that_follows_from_what_lies_upstream(recorded: Layout) -> None:
    tasks = [task.key for task in RECORDED]
    assert finished(recorded) == Finished(["curate", "pretrain"], tasks, tasks)
    assert finished(recorded).stages == stages_of(recorded)


def test_finished__a_bundle_of_the_former_model_is_not_recorded(recorded: Layout) -> None:
    save(recorded.model("ham10000"), split="s1", encoder="e1", model="m2")
    save(recorded.evaluation("ham10000"), model="m2", split="s1", report="r2")
    save(recorded.verdict("ham10000"), model_sha256="m2", report_sha256="r2", verdict="v2")
    found = finished(recorded)
    assert "ham10000" in found.judged
    assert "ham10000" not in found.passed
    assert "gate@ham10000" in found.stages
    assert "export@ham10000" not in found.stages


def test_finished__a_verdict_of_the_former_report_is_not_recorded(recorded: Layout) -> None:
    save(recorded.evaluation("ham10000"), model="m1", split="s1", report="r2")
    assert "ham10000" not in finished(recorded).judged


def test_finished__models_of_the_former_encoder_are_not_recorded(recorded: Layout) -> None:
    save(recorded.pretrained, corpus="c1", encoder="e2")
    assert finished(recorded) == Finished(["curate", "pretrain"], [], [])
    save(recorded.corpus, corpus="c2")
    assert finished(recorded) == Finished(["curate"], [], [])


def test_finished__a_corpus_of_former_data_is_not_recorded(recorded: Layout) -> None:
    save(recorded.corpus, **{"corpus": "c1", "manifest mym": "not the published one"})
    assert finished(recorded) == Finished([], [], [])


def test_prepare_workspace__keeps_what_is_there(layout: Layout) -> None:
    layout.params.write_text("pretrain: {steps: 3}\n")
    prepare_workspace(layout)
    prepare_workspace(layout)
    assert layout.params.read_text() == "pretrain: {steps: 3}\n"
    assert (layout.root / "dvc.yaml").is_file()
    assert "no_scm" in (layout.root / ".dvc" / "config.local").read_text()


def test_dvc__a_damaged_lock_file_is_named(tmp_path: Path) -> None:
    prepare_workspace(Layout(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD\nstages: [1,2\n")
    with pytest.raises(dg.Failure) as told:
        Dvc(workspace=Workspace(root=str(tmp_path))).call("add", "data")
    assert "dvc.lock' is invalid" in str(told.value.description)
