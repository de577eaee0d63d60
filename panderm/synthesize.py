"""Write synthetic twins of the deliveries into a landing folder, deterministic to the byte for a seed.

What was written is noted beside the deliveries, in ``<landing>/.synthetic/``, never inside one: a delivery holds nothing
that an institution would not send. From that receipt a second run knows what is its own: unchanged files stay as they
are, files of an earlier twin go, and a folder with anybody else's files is refused.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from panderm import __version__
from panderm.catalog import Dataset, dataset
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import read_json, remove_leftovers, sha256_bytes, sha256_file, sha256_json, write_bytes, write_json
from panderm.core.progress import progress
from panderm.core.record import Record
from panderm.readers.listing import list_files
from panderm.twins.delivery import Content, Packed, Plan, plan
from panderm.twins.shots import Scale

RECEIPTS = ".synthetic"
"""Folder beside the deliveries where it is noted which files are twins."""

_FEW = 24
"""So few pictures are drawn in this process: starting others takes longer (measured: 0.4 s for two)."""


class Config(FrozenConfig):
    """What is written.

    Attributes:
        seed: of everything; 2410 after the paper's number, nothing depends on it.
        scale: ``tiny`` for tests, ``demo`` (about 2,350 images), ``large`` (four times as many).
        delivery: number of batches; 2 adds a second batch to the first and leaves the first as it is.
        broken: datasets whose delivery must fail its contract.
        hdf5: put the images of ISIC 2024 into ``train-image.hdf5`` instead of a folder.
        layout: write the datasets in another layout that they come in, such as ``isic2018``; empty for the usual ones.
        processes: drawing at a time; 0 for one a core.
    """

    seed: int = 2410
    scale: Scale = "demo"
    delivery: int = Field(default=1, ge=1, le=9)
    broken: tuple[str, ...] = ()
    hdf5: bool = False
    layout: str = ""
    processes: int = Field(default=0, ge=0)


class _Job(NamedTuple):
    target: Path
    content: Content


def run(config: Config, datasets: Sequence[str], landing: Path) -> Record:
    """Write the twins of ``datasets`` (all keys that :func:`panderm.catalog.dataset` knows) below ``landing``.

    Returns:
        A record with the counts ``images``, ``files``, ``written`` and, per dataset, where its trouble is.

    Raises:
        InputError: a key or a layout is unknown, or a delivery's folder holds files that no twin made.
    """
    chosen = [dataset(key) for key in dict.fromkeys(datasets)]
    for key in config.broken:
        if key not in {row.key for row in chosen}:
            raise InputError(f"broken names {key!r}, which is not among the datasets to write; name it there too")
    plans = {row.key: _planned(config, row) for row in chosen}
    for row in chosen:
        _refuse_foreign(row, landing)
    jobs = [job for row in chosen for job in _prepare(plans[row.key], row, landing)]
    written = dict(_written(jobs, config.processes))
    for row in chosen:
        _sign(plans[row.key], row, landing, written)
    photos = sum(_photos(content) for one in plans.values() for content in one.files.values())
    return Record(
        stage="synthesize",
        counts={
            "datasets": len(chosen),
            "files": sum(len(one.files) for one in plans.values()),
            "images": photos,
            "written": len(jobs),
        },
        hashes={key: sha256_json(_receipt(landing, key)) for key in plans},
        values={"trouble": {key: one.trouble for key, one in plans.items()}},
        config=config.model_dump(mode="json", exclude={"processes"}),
    )


def _planned(config: Config, row: Dataset) -> Plan:
    broken = row.key in config.broken
    return plan(row, config.seed, config.scale, config.delivery, broken=broken, hdf5=config.hdf5, layout=config.layout)


def _photos(content: Content) -> int:
    return len(content.photos) if isinstance(content, Packed) else int(not isinstance(content, bytes))


def _receipt_path(landing: Path, key: str) -> Path:
    return landing / RECEIPTS / f"{key.replace('/', '__')}.json"


def _receipt(landing: Path, key: str) -> dict[str, dict[str, str]]:
    """Return path -> what was written there (``job``) and the file's ``sha256``, empty if not yet known."""
    path = _receipt_path(landing, key)
    files: dict[str, dict[str, str]] = read_json(path) if path.is_file() else {}
    return files


def _refuse_foreign(row: Dataset, landing: Path) -> None:
    """Refuse a delivery's folder that holds anything but an earlier twin.

    Raises:
        InputError: naming one such file.
    """
    folder = landing / row.key
    if not folder.is_dir():
        return
    own = _receipt(landing, row.key)
    for name in list_files(folder):
        known = own.get(name)
        unfinished = name.rsplit("/", 1)[-1].startswith(".aside-")
        if known is None and not unfinished:
            raise InputError(
                f"{folder} holds {name!r}, which is not a twin's file; move that delivery away or choose another --out"
            )
        if known is not None and known["sha256"] and known["sha256"] != sha256_file(folder / name):
            raise InputError(
                f"{folder}/{name} is no longer what the twin wrote; move that delivery away or choose another --out"
            )


def _prepare(one: Plan, row: Dataset, landing: Path) -> Iterator[_Job]:
    """Note what will be written, remove what no longer belongs, and yield the files that are new or different."""
    folder, before = landing / row.key, _receipt(landing, row.key)
    digests = {path: _digest(content) for path, content in one.files.items()}
    kept = {path for path, digest in digests.items() if before.get(path) == {"job": digest} | _sha(before, path)}
    kept = {path for path in kept if before[path]["sha256"] and (folder / path).is_file()}
    # Signed with empty hashes first: after a kill the next run still knows which files are its own.
    open_receipt = {
        path: {"job": digest, "sha256": before[path]["sha256"] if path in kept else ""} for path, digest in digests.items()
    }
    stale = {path: {"job": "", "sha256": ""} for path in before if path not in digests}
    write_json(_receipt_path(landing, row.key), open_receipt | stale)
    for path in stale:
        (folder / path).unlink(missing_ok=True)
    for parent in sorted({(folder / path).parent for path in (*digests, *stale)}, reverse=True):
        if parent.is_dir():
            remove_leftovers(parent)
            if not any(parent.iterdir()):
                parent.rmdir()
    for path, content in one.files.items():
        if path not in kept:
            yield _Job(folder / path, content)


def _sha(before: dict[str, dict[str, str]], path: str) -> dict[str, str]:
    return {"sha256": before[path]["sha256"]} if path in before else {}


def _digest(content: Content) -> str:
    """Return what a file's bytes depend on, without drawing it."""
    return sha256_bytes(content) if isinstance(content, bytes) else sha256_json([__version__, repr(content)])


def _write(job: _Job) -> tuple[Path, str]:
    data = job.content if isinstance(job.content, bytes) else job.content.data()
    write_bytes(job.target, data)
    return job.target, sha256_bytes(data)


def _written(jobs: list[_Job], processes: int) -> Iterable[tuple[Path, str]]:
    """Write all files, yielding each path with the sha256 of its bytes."""
    workers = processes or len(os.sched_getaffinity(0))
    if workers == 1 or len(jobs) <= _FEW:
        yield from progress(map(_write, jobs), what="synthesize", total=len(jobs), unit="file")
        return
    # Started afresh instead of forked: the caller may be a server with threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from progress(pool.map(_write, jobs, chunksize=16), what="synthesize", total=len(jobs), unit="file")


def _sign(one: Plan, row: Dataset, landing: Path, written: dict[Path, str]) -> None:
    """Write the receipt with every file's hash."""
    before: dict[str, Any] = _receipt(landing, row.key)
    receipt = {
        path: {"job": before[path]["job"], "sha256": written.get(landing / row.key / path, before[path]["sha256"])}
        for path in one.files
    }
    write_json(_receipt_path(landing, row.key), receipt)
