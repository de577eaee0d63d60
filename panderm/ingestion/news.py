"""Which delivered files have to be looked at; everything else stands in the ledger already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from panderm.core.reasons import Reason
from panderm.imaging.members import split
from panderm.imaging.store import Job, Rules
from panderm.ingestion.ledger import PLACE, Ledger


@dataclass(frozen=True)
class News:
    """The work of one run.

    Attributes:
        jobs: files to look at, in order of path.
        former: path of a job -> its row in the ledger, where it has one.
        held: stored_sha256 of pictures that another delivered file holds, so that a new one is its duplicate.
        places: stored_sha256 -> place of a picture that lies in a shard though no delivered file holds it now (its file was
            moved, cleared away or refused); the same picture is not stored twice.
    """

    jobs: list[Job]
    former: dict[str, dict[str, Any]]
    held: set[str]
    places: dict[str, dict[str, Any]]


def find_news(files: list[str], images: set[str], masks: set[str], landing: Path, ledger: Ledger, rules: Rules) -> News:
    """Compare the delivered files, and the members of containers, with the ledger by size and time of change.

    Args:
        files: every delivered file and member, sorted.
        images: those that the reader gives as images or masks.
        masks: the masks among them; two of them may be alike.
        landing: folder of ``files``.
        ledger: what is known.
        rules: what is accepted.
    """
    inside = _members(files)
    size, mtime_ns = zip(*_statuses(files, inside, landing, ledger.rows), strict=True)
    known = ledger.rows.reindex(columns=["reason", "shard", "stored_sha256", "delivered_sha256"], index=files)
    is_image = known.index.isin(images)
    same = (
        (ledger.rows["delivered_bytes"].reindex(files, fill_value=-1) == list(size))
        & (ledger.rows["mtime_ns"].reindex(files, fill_value=-1) == list(mtime_ns))
        & (known["reason"] != Reason.UNREADABLE)  # rights may have changed, which shows in neither
    )
    stored, double = known["shard"].notna(), known["reason"] == Reason.DUPLICATE_BYTES
    held = set(known.loc[same & is_image & stored & ~known.index.isin(masks), "stored_sha256"])
    alone = double & ~known["stored_sha256"].isin(held)  # the picture that it repeated is gone
    decided = (stored | known["reason"].notna()) & ~alone
    todo = ~same | (is_image & ~decided)
    sha = known["delivered_sha256"].where(decided & (known["reason"] != Reason.UNREADABLE), "").fillna("")
    rows = zip(files, size, is_image, sha, todo, strict=True)
    jobs = [
        Job(path, landing / file, max(0, n), bool(i), s, rules, member, path in masks)
        for path, n, i, s, look in rows
        if look
        for file, member in [inside.get(path, (path, ""))]
    ]
    if not jobs:
        return News([], {}, set(), {})
    changed = set(known.index[~same])
    return News(jobs, _plain(ledger.rows, changed), held, _places(ledger.rows, changed, held))


def _members(files: list[str]) -> dict[str, tuple[str, str]]:
    """Return path -> container and member, for members of containers that were delivered."""
    present = set(files)
    parts = {path: part for path in files if (part := split(path)) is not None}
    return {path: part for path, part in parts.items() if part[0] in present}


def _statuses(
    files: list[str], inside: dict[str, tuple[str, str]], landing: Path, rows: pd.DataFrame
) -> Iterator[tuple[int, int]]:
    """Yield size and time of change of each file.

    A member has its container's time and, as long as the container is the one of the ledger, the size known of it.
    """
    known = {} if not inside else rows["delivered_bytes"].to_dict()
    containers = {container: _status(landing / container) for container, _ in inside.values()}
    for path in files:
        if path not in inside:
            yield _status(landing / path)
            continue
        size, mtime_ns = containers[inside[path][0]]
        yield (known.get(path, -2) if known.get(inside[path][0]) == size else -2), mtime_ns


def _status(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return -2, -2  # a link to nowhere, or vanished: to be looked at, and refused then
    return status.st_size, status.st_mtime_ns


def _plain(rows: pd.DataFrame, paths: set[str]) -> dict[str, dict[str, Any]]:
    chosen = rows[rows.index.isin(paths)]
    records = chosen.astype(object).where(chosen.notna(), None).to_dict("records")
    return {record["path"]: {str(name): value for name, value in record.items()} for record in records}


def _places(rows: pd.DataFrame, changed: set[str], held: set[str]) -> dict[str, dict[str, Any]]:
    free = rows[rows["shard"].notna() & ~rows.index.isin(changed) & ~rows["stored_sha256"].isin(held)]
    free = free.sort_values(list(PLACE)).drop_duplicates("stored_sha256")
    return {
        sha: {"shard": shard, "offset": int(offset), "nbytes": int(nbytes)}
        for sha, shard, offset, nbytes in zip(free["stored_sha256"], *(free[name] for name in PLACE), strict=True)
    }
