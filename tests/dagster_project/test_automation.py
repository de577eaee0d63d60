from __future__ import annotations

import datetime
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest

from dagster_project.defs.automation import failed_run, follow_plan, new_delivery, weekly_retraining
from dagster_project.notify import FAILURES, NOTIFY_VARIABLE
from dagster_project.plan import DRIVER_TAG, HEADLESS, PLAN_TAG, STEP_TAG, next_requests
from dagster_project.resources import Workspace
from panderm.core.layout import Layout

Execute = Callable[..., dg.ExecuteInProcessResult]


def look(cursor: str | None) -> tuple[list[dg.RunRequest], str]:
    context = dg.build_sensor_context(cursor=cursor, resources={"workspace": Workspace()})
    result = new_delivery(context)
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or ()), str(result.cursor)


def test_new_delivery__asks_once_for_each_folder_that_settled(layout: Layout) -> None:
    requests, cursor = look(None)
    assert requests == [], "a folder seen for the first time may still be copied"
    requests, cursor = look(cursor)
    asked = {(request.job_name, request.partition_key) for request in requests}
    assert asked == {("ingest_source", "mym"), ("ingest_source", "isic2024"), ("ingest_benchmark", "ham10000")}
    requests, cursor = look(cursor)
    assert requests == []


def test_new_delivery__asks_again_for_the_changed_folder_only(layout: Layout) -> None:
    _, cursor = look(None)
    first, cursor = look(cursor)
    (layout.landing("mym") / "more").mkdir()
    (layout.landing("mym") / "more" / "photo.jpg").write_bytes(b"half of it")
    requests, cursor = look(cursor)
    assert requests == []
    (layout.landing("mym") / "more" / "photo.jpg").write_bytes(b"half of it, and the rest")
    requests, cursor = look(cursor)
    assert requests == [], "it was still growing"
    (request,), cursor = look(cursor)
    assert request.partition_key == "mym"
    assert request.run_key not in {old.run_key for old in first}


def test_weekly_retraining__begins_the_plan() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime.datetime(2026, 11, 28, 2, tzinfo=datetime.UTC))
    result = weekly_retraining(context)
    assert isinstance(result, dg.RunRequest)
    assert result.run_key == "weekly-2026-11-28"
    assert weekly_retraining.job_name == "everything"


@pytest.mark.parametrize(("switch", "status"), [("", "STOPPED"), ("1", "RUNNING")])
def test_automation__one_switch(switch: str, status: str) -> None:
    code = (
        "from dagster_project.defs.automation import new_delivery, weekly_retraining\n"
        "print(new_delivery.default_status.name, weekly_retraining.default_status.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PANDERM_AUTOMATION": switch}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [status, status]


def steps_of(instance: dg.DagsterInstance, layout: Layout, execute: Execute) -> list[str]:
    """Play the daemon: ask, run what is asked for, until nothing is."""
    asked = []
    while True:
        plan, job, keys, why = next_requests(instance, layout)
        if job is None:
            return [*asked, why]
        for key in keys:
            asked.append(f"{job} {key or ''}".strip())
            execute(job, key, tags={PLAN_TAG: plan, STEP_TAG: job})


def test_follow_plan__goes_on_past_a_blocked_source(
    instance: dg.DagsterInstance, layout: Layout, execute: Execute, stages: Any
) -> None:
    assert steps_of(instance, layout, execute) == ["no plan was begun; launch the job `everything`"]
    stages.bad_datasets.add("mym")
    execute("everything")
    asked = steps_of(instance, layout, execute)
    assert asked[:5] == [
        "ingest_source mym",
        "ingest_source isic2024",
        "ingest_benchmark ham10000",
        "pretrain",
        "one_task ham10000",
    ]
    assert asked[5:] == ["operations", "reporting", "the plan is done"]


def test_follow_plan__only_closes_after_a_step_in_which_everything_failed(
    instance: dg.DagsterInstance, layout: Layout, execute: Execute, stages: Any
) -> None:
    stages.bad_datasets |= {"mym", "isic2024"}
    execute("everything")
    asked = steps_of(instance, layout, execute)
    assert asked == ["ingest_source mym", "ingest_source isic2024", "operations", "reporting", "the plan is done"]


def test_follow_plan__leaves_the_demos_plan_alone(
    instance: dg.DagsterInstance, layout: Layout, execute: Execute, stages: Any
) -> None:
    execute("everything", None, tags={DRIVER_TAG: HEADLESS})
    assert steps_of(instance, layout, execute) == ["the demo drives this plan itself"]


def test_follow_plan__requests_carry_the_plan(
    instance: dg.DagsterInstance, layout: Layout, execute: Execute, stages: Any
) -> None:
    plan = execute("everything").run_id
    context = dg.build_sensor_context(instance=instance, resources={"workspace": Workspace()})
    requests = [request for request in follow_plan(context) if isinstance(request, dg.RunRequest)]
    assert [request.partition_key for request in requests] == ["mym", "isic2024"]
    assert all(request.tags[PLAN_TAG] == plan for request in requests)
    assert len({request.run_key for request in requests}) == 2


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", heard
    server.shutdown()
    server.server_close()


def tell(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> None:
    (event,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE]
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_run",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=event,
        resources={"workspace": Workspace()},
    ).for_run_failure()
    failed_run(context)


def lines(layout: Layout) -> list[dict[str, str]]:
    return [json.loads(line) for line in (layout.work / FAILURES).read_text().splitlines()]


def test_failed_run__writes_a_line_and_tells_the_hook(
    instance: dg.DagsterInstance,
    layout: Layout,
    execute: Execute,
    stages: Any,
    hook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, heard = hook
    monkeypatch.setenv(NOTIFY_VARIABLE, url)
    tell(execute("ingest_source", "edu1"), instance)
    (line,) = lines(layout)
    assert (line["job"], line["partition"], line["steps"]) == ("ingest_source", "edu1", "delivery_manifest")
    assert line["message"].endswith("is missing; deliver edu1 first")
    assert line["notified"] == "sent, answered 204"
    assert heard[0]["text"].startswith("ingest_source edu1 failed: ")


@pytest.mark.parametrize(
    ("url", "notified"),
    [
        ("", "no hook"),
        ("file:///etc/hostname", "not sent: PANDERM_NOTIFY_URL has to begin"),
        ("http://127.0.0.1:9/", "not sent: "),
        ("http://127.0.0.1:abc/", "not sent: "),  # no OSError
        ("http://127.0.0.1:9/a hook", "not sent: "),
    ],
)
def test_failed_run__writes_a_line_also_without_a_working_hook(
    instance: dg.DagsterInstance,
    layout: Layout,
    execute: Execute,
    stages: Any,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    notified: str,
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, url)
    stages.bad_datasets.add("mym")
    tell(execute("ingest_source", "mym"), instance)
    (line,) = lines(layout)
    assert line["notified"].startswith(notified)
    assert "contract" in line["message"], "a blocking check names itself"
