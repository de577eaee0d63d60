"""The studies by name, and one way to run any of them for a task."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from panderm.catalog import Benchmark, runnable_benchmarks
from panderm.core.config import FrozenConfig, override, read_params
from panderm.core.errors import InputError, one_of
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.evaluation.bootstrap import REPLICATES
from panderm.evaluation.figures import Resampling
from panderm.studies.names import ENCODER_STUDIES, STUDIES
from panderm.studies.points import Given, publish

if TYPE_CHECKING:
    from panderm.studies.encoders import Plan


def study(name: str) -> ModuleType:
    """Return a study's module, which has ``Config``; that of a task ``run(config, given) -> Told`` and ``KINDS`` besides.

    Raises:
        InputError: there is no such study.
    """
    if name not in STUDIES and name not in ENCODER_STUDIES:
        raise InputError(one_of(name, [*STUDIES, *ENCODER_STUDIES], "study"))
    return importlib.import_module(f"panderm.studies.{name}")


def study_config(name: str, layout: Layout, assignments: tuple[str, ...] = ()) -> FrozenConfig:
    """Return a study's settings: its defaults, then its part of ``studies`` in params.yaml, then ``KEY=VALUE`` assignments.

    Raises:
        InputError: there is no such study.
        ConfigError: a setting is unknown or out of range.
    """
    module = study(name)
    section = (read_params(layout.params).get("studies") or {}).get(name) or {}
    values = override({name: section}, tuple(f"{name}.{assignment}" for assignment in assignments))[name]
    config = module.Config.parse(values, where=f"study {name}")
    assert isinstance(config, FrozenConfig)
    return config


def encoder_plan(name: str, config: FrozenConfig, layout: Layout, assignments: tuple[str, ...] = ()) -> Plan:
    """Return a study of encoders as it is to be run in a workspace, its arms departing from pretrain's section of params.yaml.

    Args:
        name: of :data:`ENCODER_STUDIES`.
        config: its settings.
        layout: the workspace.
        assignments: ``KEY=VALUE`` over pretrain's section, for every arm.

    Raises:
        ConfigError: a setting is unknown or out of range.
        InputError: the corpus is missing.
    """
    from panderm import pretrain
    from panderm.studies.encoders import folders_of

    values = override(read_params(layout.params).get("pretrain") or {}, assignments)
    training = pretrain.Config.parse(values, where="pretrain settings")
    plan: Plan = study(name).plan(config, training, folders_of(name, layout))
    return plan


def given_for(task: Benchmark, layout: Layout, say: Callable[[str], None], replicates: int = REPLICATES) -> Given:
    """Return what a study works with in a workspace; models are fitted with finetune's section of params.yaml.

    Raises:
        ConfigError: a setting of finetune is unknown or out of range.
    """
    from panderm import finetune

    settings = finetune.Config.parse(read_params(layout.params).get("finetune") or {}, where="finetune settings")
    return Given(task, layout, settings.of_task(task.key), Resampling(replicates=replicates), say)


def fitting_tasks(name: str, layout: Layout) -> list[Benchmark]:
    """Return the tasks of a workspace that a study can be run for: of its kinds, with what it reads."""
    module = study(name)
    return [task for task in runnable_benchmarks() if fits(module, task) and _ready(name, task, layout)]


def fits(module: ModuleType, task: Benchmark) -> bool:
    """Say whether a study is for tasks of this kind (and, of external validation, with this class)."""
    of_kind = module.KINDS is None or task.kind in module.KINDS
    return of_kind and (not getattr(module, "NEEDS_MELANOMA", False) or bool(task.melanoma))


def _ready(name: str, task: Benchmark, layout: Layout) -> bool:
    needed = {
        "subgroups": layout.evaluation(task.key) / "predictions.parquet",
        "degradation": layout.model(task.key) / "model.json",
    }
    return needed.get(name, layout.split(task.key) / "split.parquet").is_file()


def run_study(name: str, config: FrozenConfig, given: Given) -> Record:
    """Run a study for a task and write ``artifacts/studies/<name>/<task>/``.

    Raises:
        InputError: there is no such study, it is not for this kind of task, or an input is missing.
    """
    module = study(name)
    if not fits(module, given.task):
        names = ", ".join(task.key for task in runnable_benchmarks() if fits(module, task))
        raise InputError(f"study {name} is not for {given.task.key}; it is for {names}")
    return publish(name, given, module.run(config, given), config)
