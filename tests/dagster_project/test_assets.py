from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from panderm.catalog import benchmark, table
from panderm.core.errors import FailsAgain, PanDermError, Refused, TrainingFailed
from panderm.core.layout import Layout

Execute = Callable[..., dg.ExecuteInProcessResult]


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def test_ingest_source__publishes_what_passed(execute: Execute, stages: Any, layout: Layout) -> None:
    result = execute("ingest_source", "mym")
    assert result.success
    assert materialized(result) == ["delivery_manifest", "published_source"]
    assert (layout.published("mym") / "record.json").is_file()
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.partition) == ("contract", True, "mym")
    assert check.description == "1 of 2 rules hold; warned: age"


def test_ingest_source__failing_contract_blocks_its_own_source_only(execute: Execute, stages: Any, layout: Layout) -> None:
    assert execute("ingest_source", "mym").success
    before = (layout.published("mym") / "record.json").stat().st_mtime_ns
    stages.bad_datasets.add("mym")
    blocked, other = execute("ingest_source", "mym"), execute("ingest_source", "isic2024")
    assert not blocked.success
    assert materialized(blocked) == ["delivery_manifest"]
    (check,) = blocked.get_asset_check_evaluations()
    assert not check.passed
    assert check.description == "images: 0, expected at least 1"
    assert [row.data["holds"] for row in check.metadata["rules"].records] == [False, False]
    assert (layout.published("mym") / "record.json").stat().st_mtime_ns == before, "the last good version stays"
    assert other.success


def test_published_source__alone_refuses_after_a_broken_contract(execute: Execute, stages: Any, said: Any) -> None:
    stages.bad_datasets.add("mym")
    result = execute("ingest_source", "mym", "published_source")
    assert said(result) == ["mym broke its contract; look at mym/contract.html"]


def test_delivery_manifest__missing_delivery_is_one_sentence(execute: Execute, stages: Any, said: Any, layout: Layout) -> None:
    result = execute("ingest_source", "edu1")
    assert said(result) == [f"{layout.landing('edu1')} is missing; deliver edu1 first"]


def test_benchmark_manifest__listed_task_refuses_with_the_catalogues_sentence(
    execute: Execute, stages: Any, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [row.model_copy(update={"reader": ""}) if row.key == "cptac_cm" else row for row in table.BENCHMARKS]
    monkeypatch.setattr(table, "BENCHMARKS", tuple(listed))
    (sentence,) = said(execute("ingest_benchmark", "cptac_cm"))
    assert sentence.startswith("task 'cptac_cm' is listed but not yet runnable; runnable: ham10000")
    (sentence,) = said(execute("one_task", "cptac_cm"))
    assert "not yet runnable" in sentence


def test_pretrain__shows_the_trainers_lines_and_the_record(execute: Execute, stages: Any, layout: Layout) -> None:
    result = execute("pretrain")
    assert materialized(result) == ["corpus", "encoder"]
    metadata = result.asset_materializations_for_node("encoder")[0].metadata
    assert metadata["images"].value == 3
    assert metadata["sha256 of manifest"].value == "ab" * 32


def test_encoder__figures_are_floats_to_plot_and_warnings_are_seen(
    execute: Execute, stages: Any, instance: dg.DagsterInstance
) -> None:
    result = execute("pretrain")
    metadata = result.asset_materializations_for_node("encoder")[0].metadata
    for name, value in {"feature_std": 0.05, "loss_tbp": 0.4, "probe_balanced_accuracy": 0.3}.items():
        assert isinstance(metadata[name], dg.FloatMetadataValue)
        assert metadata[name].value == value
    assert metadata["warnings"].value == f"- {stages.warning}"
    warned = [entry for entry in instance.all_logs(result.run_id) if entry.level == logging.WARNING]
    assert any(entry.user_message == stages.warning for entry in warned)


def test_encoder__curves_are_inline(execute: Execute, stages: Any, layout: Layout) -> None:
    layout.pretrained.mkdir(parents=True)
    (layout.pretrained / "curves.png").write_bytes(b"\x89PNG picture")
    result = execute("pretrain")
    picture = result.asset_materializations_for_node("encoder")[0].metadata["curves"]
    assert picture.value.startswith("![curves](data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (TrainingFailed("the training process died with signal 9"), 3),
        (Refused("the corpus is empty"), 1),
        (FailsAgain("step 3 gave a loss of nan"), 1),
    ],
)
def test_encoder__a_dead_trainer_is_tried_again_and_what_would_fail_again_is_not(
    execute: Execute, stages: Any, error: PanDermError, attempts: int
) -> None:
    stages.broken["pretrain"] = error
    assert not execute("pretrain").success
    assert stages.calls.count("pretrain") == attempts


@pytest.mark.parametrize("outcome", ["fail", "insufficient_evidence"])
def test_one_task__only_a_pass_reaches_the_repository(execute: Execute, stages: Any, outcome: str) -> None:
    assert execute("one_task", "ham10000").success
    assert stages.calls[-2:] == ["export ham10000", "release ham10000"]
    stages.calls.clear()
    stages.outcomes["ham10000"] = outcome
    result = execute("one_task", "ham10000")
    assert not result.success
    assert stages.calls == ["finetune ham10000", "evaluate ham10000", "gate ham10000"]
    (check,) = result.get_asset_check_evaluations()
    assert check.description == f"{outcome.replace('_', ' ')}: lower end 0.4, floor 0.5."
    assert check.metadata["criteria"].records[0].data["needed"] == "0.5"


def test_one_task__a_segmentation_is_released_and_slides_end_with_their_verdict(execute: Execute, stages: Any) -> None:
    assert execute("one_task", "ham10000_seg").success
    assert stages.calls[-2:] == ["export ham10000_seg", "release ham10000_seg"]
    stages.calls.clear()
    result = execute("one_task", "cptac_cm")
    assert result.success
    assert stages.calls[-1] == "gate cptac_cm"


def test_serving_check__without_a_release_says_so(execute: Execute, stages: Any, said: Any) -> None:
    (sentence,) = said(execute("operations", None, "serving_check"))
    assert "nothing is released" in sentence


@pytest.mark.parametrize("outcome", ["fail", "insufficient_evidence"])
def test_bundle_and_release__alone_refuse_what_the_gate_held_back(
    execute: Execute, stages: Any, said: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """A check guards its own run only; the real export and release have to refuse by themselves."""
    from panderm.serving.repository import served_tasks

    monkeypatch.undo()  # the stand-ins ...
    monkeypatch.setenv("PANDERM_WORKSPACE", str(layout.root))
    stages.outcomes["ham10000"] = outcome
    stages.gate(None, benchmark("ham10000"), layout.root, layout.root, layout.verdict("ham10000"))  # ... but for the verdict
    for asset in ("bundle", "release"):
        result = execute("one_task", "ham10000", asset)
        assert not result.success
        assert len(said(result)) == 1
    assert not layout.bundle("ham10000").exists()
    assert served_tasks(layout.triton_repo) == ()
