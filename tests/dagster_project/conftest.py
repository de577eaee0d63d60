"""A workspace with stand-in stages: each writes the little that its neighbours look at, so that tests are about Dagster."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import panderm
from panderm.catalog import runnable_benchmarks
from panderm.contracts.contract import Audit, Rule
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, Refused
from panderm.core.layout import WORKSPACE_VARIABLE, Layout
from panderm.core.record import Record
from panderm.core.tables import QUARANTINE, empty, write_table
from panderm.evaluation.verdict import Criterion, Outcome, Verdict
from panderm.pipeline import STAGE_NAMES


class Config(FrozenConfig):
    pass


def leave(folder: Path, record: Record) -> Record:
    folder.mkdir(parents=True, exist_ok=True)
    record.save(folder)
    return record


class Stages:
    """Stand-ins for the stage modules; ``bad_datasets`` and ``outcomes`` say what goes wrong."""

    warning = "the feature deviation is 0.05 at step 1"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.bad_datasets: set[str] = set()
        self.outcomes: dict[str, str] = {}
        self.broken: dict[str, BaseException] = {}

    def note(self, stage: str, key: str = "") -> Record:
        self.calls.append(f"{stage} {key}".strip())
        if stage in self.broken:
            raise self.broken[stage]
        return Record(
            stage=stage,
            key=key,
            counts={"images": 3},
            hashes={"manifest": "ab" * 32},
            values={"loss_first": 2.0, "loss_last": 0.5},
        )

    def ingest(self, config: Config, dataset: Any, landing: Path, out: Path) -> Record:
        if not landing.is_dir():
            raise InputError(f"{landing} is missing; deliver {dataset.key} first")
        record = leave(out, self.note("ingest", dataset.key))
        write_table(out / "quarantine.parquet", empty(QUARANTINE), QUARANTINE)
        return record

    def audit(self, config: Config, dataset: Any, staged: Path) -> Audit:
        good = dataset.key not in self.bad_datasets
        images = Rule(name="images", expected="at least 1", seen="3" if good else "0", passed=good, severity="critical")
        age = Rule(name="age", expected="0 to 120", seen="1 of 3 rows differ", passed=False, severity="warning")
        digest = "ab" * 32
        return Audit(dataset=dataset.key, manifest_sha256=digest, passed=good, rules=(images, age), counts={}, reasons={})

    def publish(self, dataset: Any, staged: Path, out: Path) -> Record:
        if dataset.key in self.bad_datasets:
            raise Refused(f"{dataset.key} broke its contract; look at {staged.name}/contract.html")
        return leave(out, self.note("validate", dataset.key))

    def curate(self, config: Config, data: Path, corpus: Path, splits: Path) -> Record:
        for task in runnable_benchmarks():
            (splits / task.key).mkdir(parents=True, exist_ok=True)
        return leave(corpus, self.note("curate"))

    def pretrain(
        self,
        config: Config,
        corpus: Path,
        data: Path,
        out: Path,
        work: Path,
        on_line: Callable[[str], None] | None = None,
        splits: Path | None = None,
    ) -> Record:
        assert on_line is not None
        assert splits is not None
        on_line("step 1 of 1, loss 0.5")
        on_line(f"warning: {self.warning}")
        record = self.note("pretrain")
        watched = {"feature_std": 0.05, "loss_tbp": 0.4, "probe_balanced_accuracy": 0.3, "warnings": [self.warning]}
        return leave(out, record.model_copy(update={"values": record.values | watched}))

    def finetune(self, config: Config, task: Any, *paths: Path, on_line: Callable[[str], None] | None = None) -> Record:
        return leave(paths[-1], self.note("finetune", task.key))

    def evaluate(self, config: Config, task: Any, *paths: Path | None) -> Record:
        out = paths[-1]
        assert out is not None
        return leave(out, self.note("evaluate", task.key))

    def gate(self, config: Config, task: Any, evaluation: Path, model: Path, out: Path) -> Record:
        record = leave(out, self.note("gate", task.key))
        outcome = Outcome(self.outcomes.get(task.key, "pass"))
        criterion = Criterion(name="floor", outcome=outcome, seen="0.4", needed="0.5", reason="lower end 0.4, floor 0.5.")
        digests = dict.fromkeys(("model_sha256", "split_sha256", "preprocessing_sha256", "report_sha256"), "ab" * 32)
        Verdict(task=task.key, outcome=outcome, criteria=(criterion,), reasons=(criterion.reason,), **digests).save(out)
        return record

    def export(self, config: Config, task: Any, *paths: Path) -> Record:
        return leave(paths[-1], self.note("export", task.key))

    def release(self, config: Config, task: Any, bundle: Path, repository: Path) -> Record:
        return self.note("release", task.key)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stand_ins = Stages()
    for name in STAGE_NAMES:
        module = types.ModuleType(f"panderm.{name}")
        members = {"Config": Config, "run": getattr(stand_ins, name, None)}
        if name == "validate":
            members |= {"audit": stand_ins.audit, "publish": stand_ins.publish}
        vars(module).update(members)
        monkeypatch.setattr(panderm, name, module, raising=False)
    return stand_ins


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A workspace in which two sources and one benchmark have landed."""
    root = tmp_path / "workspace"
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(root))
    found = Layout(root)
    for dataset in ("mym", "isic2024", "benchmarks/ham10000"):
        found.landing(dataset).mkdir(parents=True)
        (found.landing(dataset) / "metadata.csv").write_text("image\n")
    # Not the checkout's, whose settings the stand-ins do not have.
    found.params.write_text("".join(f"{name}: {{}}\n" for name in STAGE_NAMES))
    return found


@pytest.fixture(scope="session")
def definitions() -> dg.Definitions:
    from dagster_project.definitions import defs

    return defs()


@pytest.fixture
def execute(
    definitions: dg.Definitions, layout: Layout, instance: dg.DagsterInstance
) -> Callable[..., dg.ExecuteInProcessResult]:
    def run(job: str, partition: str | None = None, *assets: str, **more: Any) -> dg.ExecuteInProcessResult:
        selection = [dg.AssetKey(name) for name in assets] or None
        return definitions.resolve_job_def(job).execute_in_process(
            partition_key=partition, asset_selection=selection, instance=instance, raise_on_error=False, **more
        )

    return run


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def sentences(result: dg.ExecuteInProcessResult) -> list[str]:
    """The sentences of the steps that failed."""
    data = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return [str(d.user_failure_data.description if d.user_failure_data else d.error_display_string) for d in data]


@pytest.fixture
def said() -> Callable[[dg.ExecuteInProcessResult], list[str]]:
    return sentences
