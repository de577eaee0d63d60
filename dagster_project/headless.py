"""The plan in one process: the same jobs and assets as under the daemon, events kept in the same instance."""

from collections.abc import Callable
from typing import NamedTuple

import dagster as dg

from dagster_project.plan import CLOSING, DRIVER_TAG, EVERYTHING, HEADLESS, PLAN_TAG, STEP_TAG, Step
from panderm.core.layout import Layout


class Ran(NamedTuple):
    """One run of the plan.

    Attributes:
        job: the job's name.
        partition: its partition key, or ``None``.
        success: whether every step succeeded.
    """

    job: str
    partition: str | None
    success: bool


class Headless:
    """Runs jobs in this process.

    Args:
        definitions: the code location.
        instance: where events are kept.
        console: the logger that takes the place of Dagster's own.
    """

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance, console: dg.LoggerDefinition) -> None:
        self._definitions = dg.Definitions.merge(definitions, dg.Definitions(loggers={"console": console}))
        self._instance = instance

    def begin(self) -> str:
        """Run ``everything``, which begins the plan, and return the plan's id."""
        return self._execute("everything", None, {}).run_id

    def bury_the_dead(self) -> list[str]:
        """Fail the runs of a headless process that was killed, give back the pool slots they held, and return their ids.

        No daemon watches over headless runs: without this, a `kill -9` during training would leave its run started, and
        the pool of one GPU taken, for good. Only one headless process works on an instance at a time (the caller's lock), so
        an unfinished run of this kind has no process any more.
        """
        unfinished = dg.RunsFilter(tags={DRIVER_TAG: HEADLESS}, statuses=[dg.DagsterRunStatus.STARTED])
        dead = self._instance.get_runs(unfinished)
        for run in dead:
            self._instance.report_run_failed(run, message="The process that drove this run was killed.")
            self._instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return [run.run_id for run in dead]

    def run(self, layout: Layout, announce: Callable[[str], None]) -> list[Ran]:
        """Run the plan, announcing each run, and return what ran.

        The rules are those of :func:`dagster_project.plan.next_requests`: a blocked partition does not hold up the others,
        and after a step in which every partition failed only the closing steps are run.
        """
        self.bury_the_dead()
        plan, ran, lost = self.begin(), [], False
        for step in EVERYTHING:
            if lost and step not in CLOSING:
                continue
            runs = [self._run_one(step, key, plan, announce) for key in step.partitions(layout)]
            lost = lost or (bool(runs) and not any(run.success for run in runs))
            ran += runs
        return ran

    def _run_one(self, step: Step, key: str | None, plan: str, announce: Callable[[str], None]) -> Ran:
        announce(f"{step.job} {key or ''}".rstrip())
        done = self._execute(step.job, key, {PLAN_TAG: plan, STEP_TAG: step.job})
        return Ran(step.job, key, done.success)

    def _execute(self, job: str, partition: str | None, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        return self._definitions.resolve_job_def(job).execute_in_process(
            partition_key=partition,
            tags=tags | {DRIVER_TAG: HEADLESS},
            instance=self._instance,
            run_config={"loggers": {"console": {}}},  # else Dagster keeps its own logger of that name
            raise_on_error=False,
        )
