from __future__ import annotations

import dagster as dg

from dagster_project.definitions import defs
from dagster_project.headless import Headless
from dagster_project.instance import prepare_home
from dagster_project.plan import DRIVER_TAG, HEADLESS
from panderm.core.layout import Layout


def started(instance: dg.DagsterInstance, driver: str) -> str:
    job = defs().resolve_job_def("pretrain")
    tags = {DRIVER_TAG: driver} if driver else {}
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def test_bury_the_dead__frees_the_gpu_that_a_killed_demo_held(layout: Layout) -> None:
    prepare_home(layout.root)
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        dead, others = started(instance, HEADLESS), started(instance, "")
        storage.initialize_concurrency_limit_to_default("gpu")
        assert storage.claim_concurrency_slot("gpu", dead, "encoder").is_claimed
        headless = Headless(defs(), instance, dg.colored_console_logger)
        assert headless.bury_the_dead() == [dead]
        status = {run.run_id: run.status for run in instance.get_runs()}
        assert status[dead] is dg.DagsterRunStatus.FAILURE
        assert status[others] is dg.DagsterRunStatus.STARTED, "a run under the daemon is not ours to end"
        assert storage.get_concurrency_info("gpu").active_slot_count == 0, "the pool slot of the dead run is still taken"
