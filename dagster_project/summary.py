"""The table that the demo ends with, read from what the stages left."""

from collections.abc import Iterator
from typing import Any

from dagster_project.asking import ANSWER
from panderm.core.files import read_json
from panderm.core.layout import Layout


def summary(layout: Layout) -> Iterator[str]:
    """Yield the lines: sources, pretraining, tasks, releases, an answer of the server, the report."""
    from panderm.reporting.gather import gather

    found = gather(layout)
    yield from _datasets(found["datasets"])
    yield from _pretraining(found["pretraining"])
    yield from _tasks(found["tasks"], {row["task"]: row for row in found["releases"]})
    yield from _answer(layout)
    report = layout.reports / "index.html"
    if report.is_file():
        yield f"\nreport: {report}"


def _datasets(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"\n{'delivery':<28}{'images':>8}{'quarantined':>13}  contract"
    for row in rows:
        images, quarantined = row.get("images", "-"), row.get("quarantined", "-")
        contract = row["contract"] or {}
        yield f"{row['key']:<28}{images:>8}{quarantined:>13}  {'holds' if contract.get('passed') else 'broken'}"


def _pretraining(found: dict[str, Any] | None) -> Iterator[str]:
    if found is not None:
        values = found["record"].values
        yield f"\npretraining: loss {values['loss_first']:.4f} -> {values['loss_last']:.4f}"


def _tasks(rows: list[dict[str, Any]], releases: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"\n{'task':<14}{'metric':<13}{'value':>7}  {'95 % interval':<17}{'verdict':<24}serves"
    for row in rows:
        report, key = row["report"], row["task"].key
        interval = "none" if report["low"] is None or report["high"] is None else f"[{report['low']:.3f}, {report['high']:.3f}]"
        value = "-" if report["value"] is None else f"{report['value']:.3f}"
        outcome = (row["verdict"] or {}).get("outcome", "none").replace("_", " ")
        serving = releases.get(key, {}).get("serving")
        version = f"version {serving}" if serving else "-"
        yield f"{key:<14}{report['metric']:<13}{value:>7}  {interval:<17}{outcome:<24}{version}"


def _answer(layout: Layout) -> Iterator[str]:
    path = layout.work / ANSWER
    if not path.is_file():
        return
    answer = read_json(path)
    ranked = sorted(zip(answer["probabilities"], answer["labels"], strict=True), reverse=True)
    told = ", ".join(f"{label} {probability:.3f}" for probability, label in ranked[:3])
    yield f"\nTriton ({answer['protocol']}), {answer['task']} version {answer['version']}, one test image: {told}"
    yield f"  its label: {answer['label']}; all {len(ranked)} probabilities sum to {sum(answer['probabilities']):.4f}"
