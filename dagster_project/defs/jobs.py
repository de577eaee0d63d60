"""Jobs: one per step of the plan, and `everything`, which begins the plan."""

import dagster as dg

from dagster_project.defs import operations
from dagster_project.plan import EVERYTHING, PLAN_TAG
from dagster_project.resources import Workspace

ingest_source = dg.define_asset_job(
    "ingest_source",
    dg.AssetSelection.groups("sources"),
    description="One source's delivery: ingest, contract, publish. Partition: the source.",
)
ingest_benchmark = dg.define_asset_job(
    "ingest_benchmark",
    dg.AssetSelection.groups("benchmarks"),
    description="One benchmark's images: ingest, contract, publish. Partition: the task.",
)
pretrain = dg.define_asset_job(
    "pretrain",
    dg.AssetSelection.groups("corpus", "pretraining"),
    description="The corpus of everything published, then the encoder.",
)
one_task = dg.define_asset_job(
    "one_task",
    dg.AssetSelection.groups("tasks"),
    description="One task from the encoder to a release: model, evaluation, verdict, bundle, release. Partition: the task.",
)
operate = dg.define_asset_job(
    "operations",
    dg.AssetSelection.assets(operations.dvc_snapshot, operations.serving_check),
    description="Record data and weights with DVC; ask a Triton server about one image of each released task.",
)
reporting = dg.define_asset_job(
    "reporting",
    dg.AssetSelection.assets(operations.report),
    description="The HTML report; a job of its own, so that it is written also when something before it failed.",
)


@dg.op
def begin_plan(context: dg.OpExecutionContext, workspace: Workspace) -> None:
    """Say what the plan will run; the sensor `follow_plan` (or the demo) requests the steps."""
    for number, step in enumerate(EVERYTHING, start=1):
        keys = ", ".join(key for key in step.partitions(workspace.layout) if key)
        context.log.info("%d. %s %s", number, step.job, keys)


@dg.job(description="Everything, from the deliveries in landing/ to releases: begins the plan of dagster_project/plan.py.")
def everything() -> None:
    """Begin the plan; its runs carry the tag `panderm/plan` with this run's id."""
    begin_plan()


STEP_JOBS = {job.name: job for job in (ingest_source, ingest_benchmark, pretrain, one_task, operate, reporting)}
assert list(STEP_JOBS) == [step.job for step in EVERYTHING], f"the jobs and the plan differ ({PLAN_TAG})"
