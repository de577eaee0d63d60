"""Validate: hold a staged manifest against its dataset's contract, and publish to ``data/`` only what passed.

Write, audit, publish: a delivery that breaks its contract stays in staging, and the last good version stays published.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from panderm.catalog import Dataset
from panderm.contracts.contract import Audit, contract_of
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, Refused
from panderm.core.files import (
    read_json,
    remove_leftovers,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
    writing,
)
from panderm.core.record import Record
from panderm.core.tables import MANIFEST, QUARANTINE, read_table
from panderm.imaging.shards import ShardReader

_TABLES = ("quarantine.parquet", "contract.json", "contract.html", "record.json", "manifest.parquet")  # the last one commits


class Config(FrozenConfig):
    """Settings of validate; the thresholds themselves are data: ``panderm/contracts/contracts.yaml``."""


def audit(config: Config, dataset: Dataset, staged: Path) -> Audit:  # noqa: ARG001 - every stage takes its config
    """Hold the staged manifest against its contract and write ``contract.json`` and ``contract.html`` beside it.

    Raises:
        InputError: nothing is staged for the dataset.
    """
    from panderm.contracts.rules import hold

    contract = contract_of(dataset.key)
    record = Record.load(staged)
    manifest = read_table(staged / "manifest.parquet", MANIFEST)
    quarantine = read_table(staged / "quarantine.parquet", QUARANTINE)
    rules = hold(_with_facts(manifest, record.counts, staged, contract.verify_images), contract, dataset)
    result = Audit(
        dataset=dataset.key,
        manifest_sha256=sha256_file(staged / "manifest.parquet"),
        passed=all(rule.passed for rule in rules if rule.severity == "critical"),
        rules=rules,
        counts=record.counts,
        reasons={str(reason): int(n) for reason, n in quarantine["reason"].value_counts().sort_index().items()},
        synthetic=bool(record.values.get("synthetic", False)),
    )
    write_json(staged / "contract.json", result.model_dump(mode="json"))
    write_text(staged / "contract.html", _page(result))
    return result


def _with_facts(manifest: pd.DataFrame, counts: dict[str, int], staged: Path, verify: int) -> pd.DataFrame:
    """Return the manifest with what expectations cannot compute as columns of their own."""
    images = counts["images"] - counts["kept_images"]
    refused = counts["quarantined_files"]
    adds_up = counts["files_in_landing"] == images + refused + counts["metadata_files"]
    return manifest.assign(
        min_side=manifest[["width", "height"]].min(axis=1),
        quarantined_share=refused / max(1, images + refused),
        counts_add_up="yes" if adds_up else "no",
        bytes_intact=_intact(manifest, staged, verify),
    )


def _intact(manifest: pd.DataFrame, staged: Path, verify: int) -> pd.Series:
    """Return per row ``yes`` or ``no`` for images that were read back, null for those that were not."""
    facts = pd.Series(None, index=manifest.index, dtype="object")
    if len(manifest) == 0:
        return facts
    chosen = np.unique(np.linspace(0, len(manifest) - 1, min(verify, len(manifest)), dtype=int))
    reader = ShardReader(staged)
    columns = (manifest[name].iloc[chosen].tolist() for name in ("shard", "offset", "nbytes", "stored_sha256"))
    for position, shard, offset, nbytes, digest in zip(chosen, *columns, strict=True):
        try:
            facts.iloc[position] = "yes" if sha256_bytes(reader.read(shard, offset, nbytes)) == digest else "no"
        except InputError:
            facts.iloc[position] = "no"
    reader.close()
    return facts


def _page(result: Audit) -> str:
    import jinja2

    loader = jinja2.PackageLoader("panderm.contracts", "templates")
    return jinja2.Environment(loader=loader, autoescape=True).get_template("contract.html").render(audit=result)


def publish(dataset: Dataset, staged: Path, out: Path) -> Record:
    """Publish the staged version; the rename of ``manifest.parquet`` makes it visible, last of all.

    Raises:
        Refused: the contract did not pass for exactly the staged manifest.
    """
    result = _passing(dataset, staged)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    manifest = read_table(staged / "manifest.parquet", MANIFEST)
    shards = sorted(set(manifest["shard"]))
    for shard in shards:
        _place(staged / shard, out / shard)
    record = Record.load(staged).model_copy(update={"stage": "validate"})
    record = record.model_copy(update={"values": record.values | {"rules": len(result.rules)}})
    for name in _TABLES:
        if name == "record.json":
            if not (out / name).is_file() or read_json(out / name) != record.model_dump(mode="json"):
                record.save(out)
        elif not (out / name).is_file() or sha256_file(out / name) != sha256_file(staged / name):
            write_bytes(out / name, (staged / name).read_bytes())
    listed = {Path(shard).name for shard in shards}
    for path in (out / "shards").glob("*"):
        if path.name not in listed:
            path.unlink()
    return record


def _passing(dataset: Dataset, staged: Path) -> Audit:
    path = staged / "contract.json"
    if not path.is_file():
        raise Refused(f"{dataset.key} was not audited; run `panderm validate {dataset.key}`")
    result = Audit.parse(read_json(path), where=str(path))
    if result.manifest_sha256 != sha256_file(staged / "manifest.parquet"):
        raise Refused(f"{dataset.key} was ingested anew since its audit; run `panderm validate {dataset.key}`")
    if not result.passed:
        broken = [f"{rule.name}: {rule.seen}, expected {rule.expected}" for rule in result.rules if not rule.passed]
        raise Refused(f"{dataset.key} does not meet its contract ({'; '.join(broken)}); see {staged / 'contract.html'}")
    return result


def _place(shard: Path, target: Path) -> None:
    """Hard-link a shard into place (copy across file systems); a shard's name carries its contents, so never replace one."""
    if target.is_file() and target.stat().st_size == shard.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target) as aside:
        aside.unlink()
        try:
            os.link(shard, aside)
        except OSError:
            shutil.copyfile(shard, aside)


def run(config: Config, dataset: Dataset, staged: Path, out: Path) -> Record:
    """Audit, then publish.

    Raises:
        Refused: the contract is not met; the last good version stays published.
    """
    audit(config, dataset, staged)
    return publish(dataset, staged, out)
