"""What runs by itself: new deliveries, the weekly retraining, the plan's next step, and word of failures.

The first two start computing, so they are off until ``PANDERM_AUTOMATION=1`` (or the switch in the UI) turns them on.
The other two start nothing of their own and are always on.
"""

import json
import os
from collections.abc import Iterator

import dagster as dg

from dagster_project.defs import jobs
from dagster_project.deliveries import delivery_fingerprints
from dagster_project.notify import report_failure
from dagster_project.plan import PLAN_TAG, STEP_TAG, next_requests
from dagster_project.resources import Workspace
from panderm.core.layout import benchmark_dataset

AUTOMATION_VARIABLE = "PANDERM_AUTOMATION"
LOOK_VARIABLE = "PANDERM_LOOK_SECONDS"
_ON = os.environ.get(AUTOMATION_VARIABLE, "") == "1"
_LOOK_SECONDS = int(os.environ.get(LOOK_VARIABLE, "30"))  # Dagster's own default interval


@dg.sensor(
    jobs=[jobs.STEP_JOBS["ingest_source"], jobs.STEP_JOBS["ingest_benchmark"]],
    minimum_interval_seconds=_LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING if _ON else dg.DefaultSensorStatus.STOPPED,
)
def new_delivery(context: dg.SensorEvaluationContext, workspace: Workspace) -> dg.SensorResult:
    """Ingest a dataset whose landing folder changed and has then stayed the same from one look to the next."""
    before = json.loads(context.cursor or "{}")
    after, requests = {}, []
    for dataset, fingerprint in delivery_fingerprints(workspace.layout).items():
        known = before.get(dataset, {"seen": "", "requested": ""})
        # Still being copied: a folder is taken only once two looks in a row see the same files.
        settled = fingerprint == known["seen"]
        if settled and fingerprint != known["requested"]:
            requests.append(_request(dataset, fingerprint))
        after[dataset] = {"seen": fingerprint, "requested": fingerprint if settled else known["requested"]}
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(after, sort_keys=True))


def _request(dataset: str, fingerprint: str) -> dg.RunRequest:
    task = dataset.removeprefix(benchmark_dataset(""))
    return dg.RunRequest(
        run_key=f"{dataset}:{fingerprint}",
        job_name="ingest_source" if task == dataset else "ingest_benchmark",
        partition_key=task,
        tags={"panderm/delivery": fingerprint},
    )


@dg.schedule(
    job=jobs.everything,
    cron_schedule="0 2 * * 6",  # Saturday 02:00: a weekend of an idle cluster before anybody needs the result
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING if _ON else dg.DefaultScheduleStatus.STOPPED,
)
def weekly_retraining(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Everything, once a week."""
    return dg.RunRequest(run_key=f"weekly-{context.scheduled_execution_time:%Y-%m-%d}")


@dg.sensor(
    jobs=list(jobs.STEP_JOBS.values()), minimum_interval_seconds=_LOOK_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING
)
def follow_plan(context: dg.SensorEvaluationContext, workspace: Workspace) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request the next step of the newest run of `everything`; idle unless somebody began one."""
    plan, step, keys, why = next_requests(context.instance, workspace.layout)
    if step is None:
        yield dg.SkipReason(why)
        return
    for key in keys:
        tags = {PLAN_TAG: plan, STEP_TAG: step}
        yield dg.RunRequest(run_key=f"{plan}:{step}:{key or ''}", job_name=step, partition_key=key, tags=tags)


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failed_run(context: dg.RunFailureSensorContext, workspace: Workspace) -> None:
    """Write a line about a failed run, and tell ``PANDERM_NOTIFY_URL`` if that is set."""
    line = report_failure(context, workspace.layout)
    context.log.info("failure of %s %s: %s", line["job"], line["partition"], line["notified"])
