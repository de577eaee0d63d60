"""Word of a failed run: always a line in ``.work/failures.jsonl``, and a webhook where one is named."""

import json
import os
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException

import dagster as dg

from dagster_project.showing import sentence
from panderm.core.layout import Layout

NOTIFY_VARIABLE = "PANDERM_NOTIFY_URL"
FAILURES = "failures.jsonl"
_TIMEOUT_SECONDS = 10  # a slow hook may not hold up the sensor daemon


def report_failure(context: dg.RunFailureSensorContext, layout: Layout) -> dict[str, str]:
    """Describe the failed run, post it to ``$PANDERM_NOTIFY_URL`` if set, append it to the failures file, and return it."""
    run = context.dagster_run
    steps = [event.step_key or "" for event in context.get_step_failure_events()]
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "job": run.job_name,
        "partition": run.tags.get("dagster/partition", ""),
        "run_id": run.run_id,
        "steps": ", ".join(steps),
        "message": _first_cause(context),
    }
    line["notified"] = _post(os.environ.get(NOTIFY_VARIABLE, ""), line)
    path = layout.work / FAILURES
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(line, sort_keys=True) + "\n")
    return line


def _first_cause(context: dg.RunFailureSensorContext) -> str:
    """Return the failing step's own sentence; the run's message only counts the steps that failed."""
    steps = context.get_step_failure_events()
    return sentence(steps[0]) if steps else context.failure_event.message or "no message"


def _post(url: str, line: dict[str, str]) -> str:
    if not url:
        return f"no hook: {NOTIFY_VARIABLE} is not set"
    if not url.startswith(("http://", "https://")):
        return f"not sent: {NOTIFY_VARIABLE} has to begin with http:// or https://"
    # "text" is the field that chat webhooks show; the others are for programs.
    text = f"{line['job']} {line['partition']} failed: {line['message']}".replace("  ", " ")
    body = json.dumps(line | {"text": text}).encode()
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            return f"sent, answered {answer.status}"
    except (OSError, HTTPException, ValueError) as error:  # the line below is written all the same
        return f"not sent: {error}"
