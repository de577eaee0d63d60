from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_project.recording import CHECKOUT
from panderm.core.layout import Layout

RUNS = "{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }"
NODES = "{ assetNodes { groupName assetKey { path } } }"
MATERIALIZED = (
    '{ assetNodeOrError(assetKey: {path: ["published_source"]}) { ... on AssetNode { assetMaterializations { partition } } } }'
)
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"


@pytest.fixture
def workspace(tmp_path: Path) -> Layout:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "landing").mkdir()
    return Layout(root)


@pytest.fixture
def page(workspace: Layout) -> Iterator[Callable[[str], Any]]:
    """`make ui` with the automation switched on; yields a way to ask it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PANDERM_WORKSPACE": str(workspace.root),
        "DAGSTER_HOME": str(workspace.root / ".dagster_home"),
        "PANDERM_AUTOMATION": "1",
        "PANDERM_LOOK_SECONDS": "2",
    }
    log = (workspace.root / "ui.log").open("w")
    command = [sys.executable, "-m", "dagster_project.ui", "--port", str(port)]
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True)

    def ask(query: str) -> Any:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["data"]

    yield ask
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    log.close()


def until(what: str, seen: Callable[[], Any], seconds: float = 90) -> Any:
    """Ask until the answer is true; the page is not there at once, nor the daemon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := seen():
                return found
        except OSError:
            pass
        time.sleep(0.5)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


@pytest.mark.slow
def test_ui__a_delivery_that_lands_is_ingested_by_the_daemon(
    workspace: Layout, page: Callable[[str], Any], tmp_path: Path
) -> None:
    from panderm import synthesize

    synthesize.run(synthesize.Config(processes=1), ["edu2"], tmp_path / "courier")
    until("the code location is loaded", lambda: page(NODES)["assetNodes"])
    assert {node["groupName"] for node in page(NODES)["assetNodes"]} >= {"sources", "benchmarks", "tasks", "operations"}

    shutil.move(tmp_path / "courier" / "edu2", workspace.landing("edu2"))

    def finished() -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = page(RUNS)["runsOrError"]["results"]
        return [run for run in runs if run["status"] in {"SUCCESS", "FAILURE"}]

    (run,) = until("a run of the new delivery has ended", finished)
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (run["jobName"], run["status"]) == ("ingest_source", "SUCCESS"), (workspace.root / "ui.log").read_text()[-3000:]
    assert (tags["dagster/partition"], tags["dagster/sensor_name"]) == ("edu2", "new_delivery")
    assert page(MATERIALIZED)["assetNodeOrError"]["assetMaterializations"] == [{"partition": "edu2"}]
    assert (workspace.published("edu2") / "manifest.parquet").is_file()
    daemons = page(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert all(daemon["healthy"] for daemon in daemons if daemon["required"])
