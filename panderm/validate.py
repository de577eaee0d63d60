"""Validate: hold a staged manifest against its dataset's contract, and publish to ``data/`` only what passed.

Write, audit, publish: a delivery that breaks its contract stays in staging, and the last good version stays published.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from pydantic import Field

from panderm import __version__
from panderm.catalog import Dataset
from panderm.contracts.contract import Audit, Contract, Severity, contract_of
from panderm.contracts.facts import of_delivery, of_images
from panderm.contracts.page import page
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, Refused
from panderm.core.files import (
    exclusive,
    read_json,
    remove_leftovers,
    sha256_file,
    sha256_json,
    write_bytes,
    write_json,
    write_text,
    writing,
)
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import MANIFEST, QUARANTINE, read_table

MANIFEST_NAME, QUARANTINE_NAME = "manifest.parquet", "quarantine.parquet"
CONTRACT_NAME, PAGE_NAME = "contract.json", "contract.html"


class Config(FrozenConfig):
    """Settings of validate; the contracts themselves are data: ``panderm/contracts/contracts.yaml``.

    Attributes:
        thresholds: dataset -> threshold -> value, a site's own numbers over the contracts'.
    """

    thresholds: dict[str, dict[str, float]] = Field(default_factory=dict)


def audit(config: Config, dataset: Dataset, staged: Path) -> Audit:
    """Hold the staged version against its contract and write ``contract.json`` and ``contract.html`` beside it.

    A version that was judged already, by the same contract and with the same bytes in its shards, is not judged again.

    Raises:
        InputError: nothing is staged for the dataset.
        ConfigError: the config names no threshold of a contract.
    """
    contract = contract_of(dataset.key, config.thresholds.get(dataset.key))
    record = Record.load(staged)
    manifest = read_table(staged / MANIFEST_NAME, MANIFEST)
    quarantine = read_table(staged / QUARANTINE_NAME, QUARANTINE)
    images = of_images(manifest, staged, round(contract.verify_images.value))
    bound = _hashes(staged) | {"judged_by": _judged_by(contract, images)}
    former = _former(staged)
    if former is not None and former.dataset == dataset.key and former.model_dump(include=set(bound)) == bound:
        return former
    from panderm.contracts.rules import hold

    rules = hold(of_delivery(manifest, quarantine, record.counts), images, contract, dataset, _ids(dataset, record))
    result = Audit(
        dataset=dataset.key,
        passed=all(rule.passed for rule in rules if rule.severity == "critical"),
        rules=rules,
        counts=record.counts,
        reasons={str(reason): int(n) for reason, n in quarantine["reason"].value_counts().sort_index().items()},
        synthetic=bool(record.values.get("synthetic", False)),
        **bound,
    )
    write_text(staged / PAGE_NAME, page(result, staged, manifest))
    write_json(staged / CONTRACT_NAME, result.model_dump(mode="json"))
    return result


def _ids(dataset: Dataset, record: Record) -> Severity:
    """Return how grave missing ids are: diagnosis can do without where the public code's table was read, which has none."""
    return "warning" if dataset.kind == "diagnosis" and record.values.get("official_table") else "critical"


def _hashes(staged: Path) -> dict[str, str]:
    names = {"manifest": MANIFEST_NAME, "quarantine": QUARANTINE_NAME, "record": RECORD_NAME}
    return {f"{key}_sha256": sha256_file(staged / name) for key, name in names.items()}


def _judged_by(contract: Contract, images: pd.DataFrame) -> str:
    damaged = images.index[images["bytes_intact"] == "no"].tolist()
    return sha256_json([contract.model_dump(), damaged, __version__, version("great-expectations")])


def _former(staged: Path) -> Audit | None:
    path = staged / CONTRACT_NAME
    if not path.is_file() or not (staged / PAGE_NAME).is_file():
        return None
    return Audit.parse(read_json(path), where=str(path))


def publish(dataset: Dataset, staged: Path, out: Path) -> Record:
    """Publish the staged version; the rename of ``manifest.parquet`` makes it visible, last of all.

    Returns:
        the record written to ``out``: ingest's counts, the rules, the hashes of what was published.

    Raises:
        Refused: the contract did not pass for exactly the staged version, or images published before are unknown to it.
        InputError: nothing is staged, or ``out`` cannot be written.
    """
    result = _passing(dataset, staged)
    manifest = read_table(staged / MANIFEST_NAME, MANIFEST)
    quarantine = read_table(staged / QUARANTINE_NAME, QUARANTINE)
    _hold_what_is_published(dataset, manifest, quarantine, out)
    with _writable(out), exclusive(staged, f"ingest or validate of {dataset.key}"):
        shards = sorted(set(manifest["shard"]))
        for folder in (out, out / "shards"):
            folder.mkdir(exist_ok=True)
            remove_leftovers(folder)
        for shard in shards:
            _link(staged / shard, out / shard)
        for name in (QUARANTINE_NAME, CONTRACT_NAME, PAGE_NAME):
            _copy(staged / name, out / name)
        record = _record(dataset, result, staged)
        if not (out / RECORD_NAME).is_file() or Record.load(out) != record:
            record.save(out)
        _copy(staged / MANIFEST_NAME, out / MANIFEST_NAME)
        for path in (out / "shards").iterdir():
            if f"shards/{path.name}" not in shards:
                path.unlink()
    return record


def _passing(dataset: Dataset, staged: Path) -> Audit:
    """Return the audit of exactly the staged version, if it passed."""
    again = f"run `panderm validate {dataset.key}`"
    path = staged / CONTRACT_NAME
    if not path.is_file():
        raise Refused(f"{dataset.key} was not audited; {again}")
    result = Audit.parse(read_json(path), where=str(path))
    if result.dataset != dataset.key:
        raise Refused(f"{staged} holds the audit of {result.dataset}, not of {dataset.key}; {again}")
    if result.model_dump(include=set(_hashes(staged))) != _hashes(staged):
        raise Refused(f"{dataset.key} was ingested anew since its audit; {again}")
    if not result.passed or result.broken:
        broken = "; ".join(f"{rule.name}: {rule.seen}, expected {rule.expected}" for rule in result.broken)
        refused = ", ".join(f"{count} {reason}" for reason, count in result.reasons.items())
        seen = f"{broken}; in quarantine are {refused}" if refused else broken
        raise Refused(f"{dataset.key} does not meet its contract ({seen}); see {staged / PAGE_NAME}")
    return result


def _hold_what_is_published(dataset: Dataset, manifest: pd.DataFrame, quarantine: pd.DataFrame, out: Path) -> None:
    """Refuse a staging that never saw images which are published: it was lost, and landing holds the last delivery only."""
    if not (out / MANIFEST_NAME).is_file():
        return
    published = read_table(out / MANIFEST_NAME, MANIFEST)
    known = published["path"].isin([*manifest["path"], *quarantine["path"]])
    lost = published[~(known | published["stored_sha256"].isin(manifest["stored_sha256"]))]
    if len(lost):
        raise Refused(
            f"{out} holds {len(lost)} images of {dataset.key} that the staged version has never seen (the first is "
            f"{lost['path'].iloc[0]}); put the earlier deliveries back into landing and ingest again, or remove {out} first "
            "if they are to be forgotten"
        )


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {out} ({error.strerror or error}); free some space or choose a folder you may write to, then "
            "publish again: what was published stays as it is until then"
        ) from error


def _link(shard: Path, target: Path) -> None:
    """Hard-link a shard into place, or copy it across file systems; its name carries its hash, so none is ever replaced."""
    if target.is_file() and target.stat().st_size == shard.stat().st_size:
        return
    with writing(target) as aside:
        aside.unlink()
        try:
            os.link(shard, aside)
        except OSError:  # another file system, or one without links; whatever else is wrong stops the copy too
            shutil.copyfile(shard, aside)


def _copy(source: Path, target: Path) -> None:
    if not target.is_file() or sha256_file(source) != sha256_file(target):
        write_bytes(target, source.read_bytes())


def _record(dataset: Dataset, result: Audit, staged: Path) -> Record:
    ingested = Record.load(staged)
    warnings = [rule for rule in result.rules if not rule.passed]
    return Record(
        stage="validate",
        key=dataset.key,
        counts=ingested.counts | {"rules": len(result.rules), "warnings": len(warnings)},
        hashes=ingested.hashes | {"contract": sha256_file(staged / CONTRACT_NAME)},
        values=ingested.values | {"warnings": [f"{rule.name}: {rule.seen}, expected {rule.expected}" for rule in warnings]},
        config=ingested.config,
    )


def run(config: Config, dataset: Dataset, staged: Path, out: Path) -> Record:
    """Audit, then publish.

    Raises:
        Refused: the contract is not met; the last good version stays published.
    """
    audit(config, dataset, staged)
    return publish(dataset, staged, out)
