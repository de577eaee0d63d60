"""What "everything" is: jobs in order, each with the partitions that have something to do.

One Dagster job cannot hold the sources' and the tasks' partitions, so the whole pipeline is this short plan. The demo runs
it headless in one process; under the daemon the sensor ``follow_plan`` requests one step after the other. The order of
stages itself stands in ``panderm.pipeline``; a test holds the two together.
"""

from collections.abc import Callable
from typing import NamedTuple

import dagster as dg

from panderm.catalog import SOURCES, runnable_benchmarks
from panderm.core.layout import Layout, benchmark_dataset

PLAN_TAG = "panderm/plan"  # id of the run of `everything` that began it
STEP_TAG = "panderm/step"  # the job's name
DRIVER_TAG = "panderm/driver"  # who requests the steps; without it the sensor does
HEADLESS = "headless"


class Step(NamedTuple):
    """One job of the plan.

    Attributes:
        job: the job's name.
        partitions: its partition keys with something to do in a workspace, asked when the step begins; ``None`` stands
            for a job without partitions.
    """

    job: str
    partitions: Callable[[Layout], list[str | None]]


def _landed_sources(layout: Layout) -> list[str | None]:
    return [row.key for row in SOURCES if _has_files(layout, row.key)]


def _landed_benchmarks(layout: Layout) -> list[str | None]:
    return [row.key for row in runnable_benchmarks() if _has_files(layout, benchmark_dataset(row.key))]


def _published_tasks(layout: Layout) -> list[str | None]:
    return [row.key for row in runnable_benchmarks() if layout.published(benchmark_dataset(row.key)).is_dir()]


def _has_files(layout: Layout, dataset: str) -> bool:
    folder = layout.landing(dataset)
    return folder.is_dir() and any(folder.iterdir())


def _once(_: Layout) -> list[str | None]:
    return [None]


EVERYTHING: tuple[Step, ...] = (
    Step("ingest_source", _landed_sources),
    Step("ingest_benchmark", _landed_benchmarks),
    Step("pretrain", _once),
    Step("one_task", _published_tasks),
    Step("operations", _once),
    Step("reporting", _once),
)
CLOSING = EVERYTHING[-2:]  # also after a step in which everything failed: what there is, is recorded and reported


def next_requests(instance: dg.DagsterInstance, layout: Layout) -> tuple[str, str | None, list[str | None], str]:
    """Return what the newest plan needs next: its id, the job, the job's partition keys, and why nothing if the job is None.

    A step is asked for once nothing of the step before runs any more. A blocked partition does not hold up the others; after
    a step in which every partition failed only the closing steps are run. An older plan is given up when a newer one
    begins; a plan that the demo drives itself is left alone.
    """
    begun = instance.get_run_records(dg.RunsFilter(job_name="everything", statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
    if not begun:
        return "", None, [], "no plan was begun; launch the job `everything`"
    run = begun[0].dagster_run
    plan = run.run_id
    if run.tags.get(DRIVER_TAG) == HEADLESS:
        return plan, None, [], "the demo drives this plan itself"
    lost = False
    for step in EVERYTHING:
        if lost and step not in CLOSING:
            continue
        keys = step.partitions(layout)
        runs = instance.get_runs(dg.RunsFilter(tags={PLAN_TAG: plan, STEP_TAG: step.job}))
        if not runs and keys:
            return plan, step.job, keys, ""
        if any(not run.is_finished for run in runs):
            return plan, None, [], f"{step.job} is still running"
        lost = lost or (bool(runs) and not any(run.is_success for run in runs))
    return plan, None, [], "the plan is done"
