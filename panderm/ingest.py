"""Ingest: a delivery in its native layout -> shards, ``manifest.parquet`` and ``quarantine.parquet`` in staging.

Nothing is skipped in silence: every file in landing is an image in a shard, a row in quarantine, or a metadata file read.
Incremental: a file is opened again only when its size or time changed; shards are append-only; a second run without news
changes no byte. A file that has left landing keeps its row: deliveries may be cleared away after they were ingested.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from pydantic import Field

from panderm.catalog import Dataset
from panderm.core.config import FrozenConfig
from panderm.core.errors import ConfigError
from panderm.core.files import read_json, sha256_bytes, sha256_file, write_json, writing
from panderm.core.progress import progress
from panderm.core.reasons import Reason
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import DELIVERED, MANIFEST, QUARANTINE, empty, read_table, write_table
from panderm.imaging.ledger import IMAGE_FACTS, Ledger
from panderm.imaging.shards import ShardWriter
from panderm.imaging.store import Job, Rules, Stored, store
from panderm.readers import Delivery, read

SETTINGS_NAME = "settings.json"


class Config(FrozenConfig):
    """Settings of ingest.

    Attributes:
        workers: processes that decode and encode; 0 works in this process. 2: the smallest machine we support.
        pool_from: deliveries with fewer new images are worked in this process, as starting workers costs more
            (about 2 s against 10 ms an image, measured by benchmarks/ingest.py).
        shard_images: images a shard; 1,000 is WebDataset's usual size (about 100 MB of dermoscopy).
        pixel_cap, byte_cap, jpeg_quality: see :class:`panderm.imaging.store.Rules`.
    """

    workers: int = Field(default=2, ge=0)
    pool_from: int = Field(default=400, ge=1)
    shard_images: int = Field(default=1000, ge=1)
    pixel_cap: int = Field(default=Rules().pixel_cap, ge=1)
    byte_cap: int = Field(default=Rules().byte_cap, ge=1)
    jpeg_quality: int = Field(default=Rules().jpeg_quality, ge=1, le=100)

    @property
    def rules(self) -> Rules:
        """The settings that decide about stored bytes."""
        return Rules(self.pixel_cap, self.byte_cap, self.jpeg_quality)


def run(config: Config, dataset: Dataset, landing: Path, out: Path) -> Record:
    """Ingest ``landing`` into the staging folder ``out``.

    Returns:
        the record; its value ``new_images`` (how many this run stored) is not part of the stored one.

    Raises:
        InputError: landing is missing or empty, or ``out`` cannot be written.
        ConfigError: settings that decide about stored bytes changed since the dataset was stored.
    """
    delivery = read(dataset, landing)
    _hold_settings(config, out, dataset)
    ledger = Ledger(out)
    ledger.clean()
    before = set(ledger.rows["stored_sha256"].dropna())
    _store_new(config, dataset, delivery, landing, out, ledger)
    manifest = _manifest(dataset, delivery, landing, out, ledger)
    quarantine = _quarantine(dataset, delivery, ledger, manifest)
    _replace_table(out / "quarantine.parquet", quarantine, QUARANTINE)
    _replace_table(out / "manifest.parquet", manifest, MANIFEST)
    record = _record(config, dataset, delivery, landing, out, manifest, quarantine)
    if not (out / RECORD_NAME).is_file() or Record.load(out) != record:
        record.save(out)
    new = len(set(ledger.rows["stored_sha256"].dropna()) - before)
    return record.model_copy(update={"values": record.values | {"new_images": new}})


def _hold_settings(config: Config, out: Path, dataset: Dataset) -> None:
    settings = config.rules._asdict()
    path = out / SETTINGS_NAME
    if path.is_file():
        former = read_json(path)
        changed = [f"{name} {former.get(name)} -> {value}" for name, value in settings.items() if former.get(name) != value]
        if changed:
            raise ConfigError(
                f"ingest settings changed ({', '.join(changed)}) while {dataset.key} is already stored; restore them, "
                f"or remove {out} to ingest its whole delivery anew"
            )
    else:
        write_json(path, settings)


def _store_new(config: Config, dataset: Dataset, delivery: Delivery, landing: Path, out: Path, ledger: Ledger) -> None:
    wanted = dict(
        zip(delivery.rows["path"], zip(delivery.rows["image_id"], delivery.rows["modality"], strict=True), strict=True)
    )
    stats = {path: _stat(landing / path) for path in _files(delivery)}
    todo = [path for path, stat in stats.items() if _is_news(ledger, path, stat, stored=path in wanted)]
    jobs = [Job(path, landing / path, _known(ledger, path), config.rules) for path in todo if path in wanted]
    refused = [path for path in todo if path not in wanted]
    if refused:  # refused by the layout: never decoded, but hashed, so that quarantine can name the very bytes
        ledger.commit([_hashed(landing, path, stats[path]) for path in refused])
    shard = _ShardInProgress(out, ledger, dataset, wanted, stats)
    for stored in progress(_work(config, jobs), what=f"ingest {dataset.key}", total=len(jobs), unit="img"):
        shard.take(stored)
        if shard.images >= config.shard_images:
            shard.close()
    shard.close()


class _ShardInProgress:
    """Collects stored images into one shard, then commits shard and ledger part together."""

    def __init__(
        self, out: Path, ledger: Ledger, dataset: Dataset, wanted: dict[str, tuple[str, str]], stats: dict[str, tuple[int, int]]
    ) -> None:
        self._out, self._ledger, self._dataset, self._wanted, self._stats = out, ledger, dataset, wanted, stats
        good = ledger.rows[ledger.rows["shard"].notna()]
        self._first_path = dict(zip(good["delivered_sha256"], good["path"], strict=True))
        self._samples: list[Stored] = []
        self._rows: list[dict[str, object]] = []

    @property
    def images(self) -> int:
        return len(self._samples)

    def take(self, stored: Stored) -> None:
        size, mtime_ns = self._stats[stored.path]
        first = self._first_path.get(stored.delivered_sha256)
        if not stored.image and not stored.reason:  # touched, but the same bytes as before
            known = {str(name): value for name, value in self._ledger.rows.loc[stored.path].items()}
            self._rows.append(known | {"size": size, "mtime_ns": mtime_ns})
            return
        if stored.image and first is not None and first != stored.path:
            detail = f"the same bytes as {first}"
            stored = Stored(stored.path, stored.delivered_sha256, stored.delivered_bytes, Reason.DUPLICATE_BYTES, detail)
        if stored.image:
            self._first_path[stored.delivered_sha256] = stored.path
            self._samples.append(stored)
        row = {name: getattr(stored, name) for name in ("path", "delivered_bytes")} | {"size": size, "mtime_ns": mtime_ns}
        facts = {name: getattr(stored, name) or None for name in ("delivered_sha256", "reason", "detail")}
        facts |= {name: getattr(stored, name) or None for name in IMAGE_FACTS if hasattr(stored, name)}
        self._rows.append(row | facts)

    def close(self) -> None:
        if not self._rows:
            return
        if self._samples:
            places = self._write()
            self._rows = [row | places.get(str(row["path"]), {}) if not row.get("shard") else row for row in self._rows]
        self._ledger.commit(self._rows)
        self._samples, self._rows = [], []

    def _write(self) -> dict[str, dict[str, object]]:
        """Write the shard under a name that carries its contents' hash; a shard is never replaced by another."""
        digest = sha256_bytes("".join(stored.stored_sha256 for stored in self._samples).encode())[:8]
        name = f"shards/{self._ledger.number:06d}-{digest}.tar"
        places: dict[str, dict[str, object]] = {}
        with writing(self._out / name) as aside:
            writer = ShardWriter(aside)
            for stored in self._samples:
                image_id, modality = self._wanted[stored.path]
                facts = {"image_id": image_id, "modality": modality, "stored_sha256": stored.stored_sha256}
                position = writer.add(_key(image_id, stored), stored.extension, stored.image, facts)
                places[stored.path] = {"shard": name, "offset": position.offset, "nbytes": position.nbytes}
            writer.close()
        return places


def _key(image_id: str, stored: Stored) -> str:
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in image_id)
    return f"{safe[:60]}-{stored.stored_sha256[:8]}"


def _work(config: Config, jobs: list[Job]) -> Iterator[Stored]:
    """Yield results in the order of ``jobs``; at most a few images per worker are in memory at once."""
    if config.workers == 0 or len(jobs) < config.pool_from:
        yield from map(store, jobs)
        return
    window: deque[Future[Stored]] = deque()
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        for job in jobs:
            window.append(pool.submit(store, job))
            if len(window) >= 8 * config.workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _files(delivery: Delivery) -> Iterable[str]:
    """Return every file that is an image to store or was refused by the layout, in order of path."""
    refused = [path for path in delivery.rejects["path"] if "#" not in path]
    return sorted({*delivery.rows["path"], *refused})


def _stat(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:
        return -1, -1  # a metadata row that names no file, or a file that vanished
    return stat.st_size, stat.st_mtime_ns


def _is_news(ledger: Ledger, path: str, stat: tuple[int, int], *, stored: bool) -> bool:
    if stat[0] < 0:
        return False
    if path not in ledger.rows.index:
        return True
    row = ledger.rows.loc[path]
    if (row["size"], row["mtime_ns"]) != stat:
        return True
    decided = pd.notna(row["shard"]) or pd.notna(row["reason"])
    return stored and not decided


def _known(ledger: Ledger, path: str) -> str:
    row = ledger.rows.loc[path] if path in ledger.rows.index else None
    return str(row["delivered_sha256"]) if row is not None and pd.notna(row["shard"]) else ""


def _hashed(landing: Path, path: str, stat: tuple[int, int]) -> dict[str, object]:
    row: dict[str, object] = {"path": path, "size": stat[0], "mtime_ns": stat[1], "delivered_bytes": stat[0]}
    try:
        row["delivered_sha256"] = sha256_file(landing / path)
    except OSError:
        row["delivered_sha256"] = None
    return row


def _manifest(dataset: Dataset, delivery: Delivery, landing: Path, out: Path, ledger: Ledger) -> pd.DataFrame:
    """Join what the reader says now with what is stored; rows whose file has left landing stay as they were."""
    good = ledger.rows[ledger.rows["shard"].notna()].reset_index(drop=True)
    current = delivery.rows.merge(good[["path", *IMAGE_FACTS]], on="path", how="inner")
    former = read_table(out / "manifest.parquet", MANIFEST) if (out / "manifest.parquet").is_file() else empty(MANIFEST)
    gone = former[[not (landing / path).exists() for path in former["path"]]] if len(former) else former
    gone = gone[~gone["image_id"].isin(current["image_id"])]
    frames = [frame for frame in (current, gone) if len(frame)]
    manifest = pd.concat(frames, ignore_index=True) if frames else empty(MANIFEST)
    return manifest.assign(dataset=dataset.key).sort_values(["shard", "offset"], ignore_index=True)


def _quarantine(dataset: Dataset, delivery: Delivery, ledger: Ledger, manifest: pd.DataFrame) -> pd.DataFrame:
    facts = ledger.rows[["delivered_sha256", "delivered_bytes"]].reset_index(names="path")
    layout = delivery.rejects.merge(facts, on="path", how="left")
    kept = layout["path"].isin(manifest["path"]) & (layout["reason"] == Reason.MISSING_FILE)  # ingested, then cleared away
    mine = ledger.rows[ledger.rows["reason"].notna() & ledger.rows["path"].isin(delivery.rows["path"])]
    columns = [name for name in QUARANTINE.names if name != "dataset"]
    frames = [frame[columns] for frame in (layout[~kept], mine.reset_index(drop=True)) if len(frame)]
    table = pd.concat(frames, ignore_index=True) if frames else empty(QUARANTINE)
    return table.assign(dataset=dataset.key).sort_values(["path", "reason"], ignore_index=True)


def _replace_table(path: Path, frame: pd.DataFrame, schema: object) -> None:
    """Write a table unless the file already holds exactly these bytes."""
    aside = path.parent / f"next-{path.name}"
    write_table(aside, frame, schema)
    if path.is_file() and sha256_file(path) == sha256_file(aside):
        aside.unlink()
    else:
        aside.replace(path)


def _record(
    config: Config,
    dataset: Dataset,
    delivery: Delivery,
    landing: Path,
    out: Path,
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame,
) -> Record:
    present = [path for path in _files(delivery) if (landing / path).exists() or (landing / path).is_symlink()]
    without_file = len(quarantine) - int(quarantine["path"].isin(present).sum())
    kept = int((~manifest["path"].isin(delivery.rows["path"])).sum())
    counts = {
        "files": len(present) + len(delivery.metadata_files),
        "images": len(manifest),
        "quarantined": len(quarantine) - without_file,
        "metadata_files": len(delivery.metadata_files),
        "quarantined_rows": without_file,
        "kept_images": kept,
    }
    seen = counts["images"] - kept + counts["quarantined"] + counts["metadata_files"]
    assert counts["files"] == seen, (
        f"{dataset.key}: {counts['files']} files in landing, but {seen} accounted for: {json.dumps(counts)}"
    )
    hashes = {f"{name}_sha256": sha256_file(out / f"{name}.parquet") for name in ("manifest", "quarantine")}
    return Record(stage="ingest", key=dataset.key, counts=counts, hashes=hashes, config=config.rules._asdict())


assert set(DELIVERED.names) <= set(MANIFEST.names)
