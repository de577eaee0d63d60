from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg

from dagster_project.defs.jobs import STEP_JOBS
from dagster_project.plan import EVERYTHING
from dagster_project.showing import STAGE_TAG
from panderm.pipeline import STAGE_NAMES

SNAPSHOT = Path(__file__).parent / "graph.txt"


def graph(definitions: dg.Definitions) -> str:
    """One line an asset: group/name <- what it reads; checks below their asset."""
    specs = sorted(definitions.resolve_all_asset_specs(), key=lambda spec: (spec.group_name or "", spec.key))
    lines = []
    checks = definitions.resolve_asset_graph().asset_check_keys
    for spec in specs:
        name = spec.key.to_user_string()
        lines.append(f"{spec.group_name}/{name} <- {', '.join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))}")
        lines += [f"    check {check.name}" for check in checks if check.asset_key == spec.key]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_graph__is_the_one_in_the_snapshot(definitions: dg.Definitions) -> None:
    assert graph(definitions) == SNAPSHOT.read_text(), (
        "the asset graph changed; if it is meant, update tests/dagster_project/graph.txt"
    )


def test_definitions__can_be_loaded_as_a_repository(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)  # also finds a job and an asset of one name, which the rest here does not


def test_code_location__loads_under_five_seconds_without_heavy_packages() -> None:
    code = (
        "import sys, time\n"
        "from dagster_project.definitions import defs\n"
        "defs().resolve_implicit_global_asset_job_def()\n"
        "names = ('torch', 'timm', 'pandas', 'great_expectations', 'onnxruntime', 'sklearn', 'dvc')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "sys.exit(f'imported {heavy}' if heavy else 0 if time.process_time() < 5 else 'slower than 5 s of processor time')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_plan__goes_through_every_stage_in_the_order_of_the_table(definitions: dg.Definitions) -> None:
    stages: list[str] = []
    for step in EVERYTHING:
        selected = definitions.resolve_job_def(step.job).asset_layer.executable_asset_keys
        graph = definitions.resolve_asset_graph()
        for level in graph.toposorted_asset_keys_by_level:
            stages += [graph.get(key).tags[STAGE_TAG] for key in level if key in selected and STAGE_TAG in graph.get(key).tags]
    assert list(dict.fromkeys(stages)) == list(STAGE_NAMES)
    assert list(STEP_JOBS) == [step.job for step in EVERYTHING]


def test_checks__all_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert all(graph.get_check_spec(key).blocking for key in graph.asset_check_keys)


def test_training__takes_the_gpu_pool(definitions: dg.Definitions) -> None:
    pools = {
        key.to_user_string(): definitions.resolve_asset_graph().get(key).pools
        for key in definitions.resolve_asset_graph().get_all_asset_keys()
    }
    assert {name for name, taken in pools.items() if "gpu" in taken} == {
        *("encoder", "task_model", "study_protocols", "encoder_of_modalities", "encoder_of_corpus_size")
    }
    assert {name for name, taken in pools.items() if "dvc" in taken} == {"dvc_snapshot"}
