"""What the report shows, read from the stages' folders; a stage that has not run is simply absent.

A damaged file costs what stands in it: it is named on the page, and all else is shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from panderm.catalog import SOURCES, Benchmark, runnable_benchmarks
from panderm.core.errors import InputError
from panderm.core.files import read_json
from panderm.core.layout import Layout, benchmark_dataset
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import MANIFEST, QUARANTINE, read_parquet, read_table
from panderm.core.terms import Input, sentence
from panderm.imaging.preprocessing import decode
from panderm.imaging.shards import read_image_bytes
from panderm.reporting.details import detail_tables
from panderm.reporting.pictures import png_uri, thumbnail_uri
from panderm.serving.bundle import MODEL_CARD
from panderm.tasks.kinds import counted

THUMBNAILS = 4  # pictures a dataset; enough to recognise it, small enough for one page


_T = TypeVar("_T")


class _Reading:
    """Reads, and keeps the sentence on whatever cannot be read."""

    def __init__(self) -> None:
        self.damaged: list[str] = []

    def __call__(self, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except InputError as error:
            self.damaged.append(str(error))
            return None


def gather(layout: Layout) -> dict[str, Any]:
    """Return everything the template needs, as plain values; ``damaged`` are the sentences on what could not be read."""
    reading = _Reading()
    return {
        "datasets": list(_datasets(layout, reading)),
        "corpus": reading(lambda: _corpus(layout)),
        "pretraining": reading(lambda: _pretraining(layout)),
        "tasks": list(_tasks(layout, reading)),
        "releases": list(_releases(layout, reading)),
        "damaged": reading.damaged,
    }


def _record(folder: Path) -> Record | None:
    return Record.load(folder) if (folder / RECORD_NAME).is_file() else None


def _datasets(layout: Layout, reading: _Reading) -> Iterator[dict[str, Any]]:
    rows = [(row.key, row.source, ", ".join(row.modalities)) for row in SOURCES]
    rows += [(benchmark_dataset(row.key), f"benchmark: {row.task}", row.modality) for row in runnable_benchmarks()]
    for key, title, modality in rows:
        facts = _dataset(layout, key, reading)
        if facts is not None:
            yield {"key": key, "title": title, "modality": modality, **facts}


def _dataset(layout: Layout, key: str, reading: _Reading) -> dict[str, Any] | None:
    """Return what is known of a dataset; None where nothing of it is published or judged.

    Whether it is synthetic is told by its contract or its record, so that no damaged file takes the twin's sign off a figure.
    """
    published, staged = layout.published(key), layout.staging(key)
    contracts = [reading(partial(_optional_json, place / "contract.json")) for place in (staged, published)]
    contract = next(filter(None, contracts), None)
    present = (published / "manifest.parquet").is_file()
    record = reading(lambda: _record(published)) if present else None
    synthetic = bool((contract or {}).get("synthetic") or (record and record.values.get("synthetic")))
    facts = {"published": present, "contract": contract, "synthetic": synthetic, "damaged": False}
    if not present:
        return facts if contract else None
    tables = reading(lambda: _tables(published, reading))
    return facts | (tables if tables is not None else {"damaged": True})


def _tables(published: Path, reading: _Reading) -> dict[str, Any]:
    manifest = read_table(published / "manifest.parquet", MANIFEST)
    quarantine = read_table(published / "quarantine.parquet", QUARANTINE)
    return {
        "images": len(manifest),
        "patients": int(manifest["patient_id"].nunique()),
        "lesions": int(manifest["lesion_id"].nunique()),
        "quarantined": len(quarantine),
        "reasons": {str(k): int(v) for k, v in quarantine["reason"].value_counts().sort_index().items()},
        "thumbnails": reading(lambda: _thumbnails(published, manifest)) or [],
    }


def _thumbnails(root: Path, manifest: Any) -> list[str]:
    step = max(1, len(manifest) // THUMBNAILS)
    chosen = manifest.iloc[::step].head(THUMBNAILS)
    return [
        thumbnail_uri(decode(read_image_bytes(root, row.shard, int(row.offset), int(row.nbytes))))
        for row in chosen.itertuples(index=False)
    ]


def _corpus(layout: Layout) -> dict[str, Any] | None:
    record = _record(layout.corpus)
    if record is None:
        return None
    return {"record": record, "picture": png_uri(layout.corpus / "corpus.png")}


def _pretraining(layout: Layout) -> dict[str, Any] | None:
    record = _record(layout.pretrained)
    if record is None:
        return None
    return {"record": record, "picture": png_uri(layout.pretrained / "curves.png")}


def _tasks(layout: Layout, reading: _Reading) -> Iterator[dict[str, Any]]:
    for task in runnable_benchmarks():
        report = reading(partial(_optional_json, layout.evaluation(task.key) / "report.json"))
        if report is not None:
            yield _task(layout, task, report, reading)


def _task(layout: Layout, task: Benchmark, report: dict[str, Any], reading: _Reading) -> dict[str, Any]:
    evaluation = layout.evaluation(task.key)
    verdict = reading(lambda: _optional_json(layout.verdict(task.key) / "verdict.json"))
    return {
        "task": task,
        "report": report,
        "counted": counted(task),
        "tables": detail_tables(task, report),
        "verdict": verdict,
        "floor": _floor(verdict),
        "rows": reading(lambda: _metric_rows(evaluation / "metrics.parquet")) or [],
        "pictures": {path.stem: png_uri(path) for path in sorted(evaluation.glob("*.png"))},
    }


def _floor(verdict: dict[str, Any] | None) -> float | None:
    """Return the figure that the floor criterion needs, for the tick in the interval chart."""
    needed = [str(row["needed"]) for row in (verdict or {}).get("criteria", []) if row["name"] == "floor"]
    found = re.search(r"\d+\.\d+", needed[0]) if needed else None
    return float(found.group()) if found else None


def _metric_rows(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    if not path.is_file():
        return []
    frame = read_parquet(path).to_pandas()
    return [{str(k): (None if pd.isna(v) else v) for k, v in row.items()} for row in frame.to_dict("records")]


def _releases(layout: Layout, reading: _Reading) -> Iterator[dict[str, Any]]:
    for task in runnable_benchmarks():
        records = sorted(layout.triton_repo.glob(f"{task.key}/*/release.json"), key=lambda path: int(path.parent.name))
        versions = [reading(partial(_version, layout, path)) for path in records]
        if any(versions):
            serving = _serving_version(layout.triton_repo / task.key / "config.pbtxt")
            yield {"task": task.key, "versions": [version for version in versions if version], "serving": serving}


def _version(layout: Layout, record: Path) -> dict[str, Any]:
    """Return ``release.json`` with what follows from the model's inputs, and where its card lies as seen from the report."""
    facts = read_json(record)
    if not isinstance(facts, dict) or "version" not in facts:
        raise InputError(f"{record} does not say 'version', so it is damaged; bring it back")
    card = record.with_name(MODEL_CARD)
    inputs = tuple(Input.parse(one, where=str(record)) for one in facts.get("inputs", ()))
    return facts | {"terms": sentence(inputs), "card": os.path.relpath(card, layout.reports) if card.is_file() else ""}


def _serving_version(config: Path) -> int | None:
    """Return the version that an ensemble's config.pbtxt pins (``versions: N``)."""
    found = re.search(r"versions\s*:\s*\[?\s*(\d+)", config.read_text()) if config.is_file() else None
    return int(found.group(1)) if found else None


def _optional_json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None
