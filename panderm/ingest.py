"""Ingest: a delivery in its native layout -> shards, ``manifest.parquet`` and ``quarantine.parquet`` in staging.

Nothing is skipped in silence: every file in landing is an image in a shard, a row in quarantine, or a metadata file read.
Incremental: a file is opened again only when its size or time changed; shards are append-only; a second run without news
changes no byte. A file that has left landing keeps its row: deliveries may be cleared away after they were ingested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from panderm.catalog import Dataset
from panderm.core.config import FrozenConfig
from panderm.core.errors import ConfigError, InputError
from panderm.core.files import exclusive, read_json, sha256_file, sha256_json, write_json
from panderm.core.progress import progress
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import MANIFEST, MASK, QUARANTINE, empty, read_table, to_table, write_table
from panderm.imaging.store import Rules
from panderm.ingestion.ledger import Ledger
from panderm.ingestion.licence import delivered_licence
from panderm.ingestion.news import find_news
from panderm.ingestion.packing import Packer
from panderm.ingestion.pairs import hold_pairs
from panderm.ingestion.tables import manifest_table, quarantine_table
from panderm.ingestion.workers import look_at
from panderm.readers import Delivery, read
from panderm.readers.base import LICENCE, OFFICIAL
from panderm.readers.listing import list_files

SETTINGS_NAME = "settings.json"


class Config(FrozenConfig):
    """Settings of ingest.

    Attributes:
        workers: processes that decode and encode; below 2 this process works alone. 2: the smallest machine we support.
        pool_from: with fewer files to look at this process works alone, as starting two workers takes as long as about so
            many dermoscopic images (docs/data.md).
        shard_images: images a shard; 1,000 is WebDataset's usual size (about 100 MB of dermoscopy).
        pixel_cap: see :class:`panderm.imaging.store.Rules`.
        byte_cap: see :class:`panderm.imaging.store.Rules`.
        jpeg_quality: see :class:`panderm.imaging.store.Rules`.
    """

    workers: int = Field(default=2, ge=0)
    pool_from: int = Field(default=128, ge=1)
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
        the record; its count ``new_images`` (how many this run stored) is not part of the one in ``record.json``.

    Raises:
        InputError: landing is missing, empty, unreadable or changes meanwhile; ``out`` cannot be written or is in use.
        ConfigError: settings that decide about stored bytes changed since the dataset was stored.
    """
    files, delivery = _read(dataset, landing)
    with _writable(out), exclusive(out, f"ingest of {dataset.key}"):
        _hold_settings(config, out, dataset)
        ledger = Ledger(out)
        ledger.clean()
        image_ids = dict(zip(delivery.rows["path"], delivery.rows["image_id"], strict=True))
        masks = set(delivery.rows["path"][delivery.rows["role"] == MASK])
        news = find_news(files, set(image_ids), masks, landing, ledger, config.rules)
        results = look_at(news.jobs, config.workers, config.pool_from)
        shown = progress(results, what=f"ingest {dataset.key}", total=len(news.jobs), unit="file")
        packer = Packer(out, dataset.key, ledger, news, image_ids, config.shard_images, masks)
        new_images = packer.pack(shown) if news.jobs else 0
        record = _finish(config, dataset, landing, out, files, delivery)
    return record.model_copy(update={"counts": record.counts | {"new_images": new_images}})


def _read(dataset: Dataset, landing: Path) -> tuple[list[str], Delivery]:
    """Return every file in landing and every member of the containers there, and what the reader says of them.

    Raises:
        InputError: the reader left out a file, because somebody is still writing the delivery.
    """
    try:
        files = list_files(landing) if landing.is_dir() else []
        delivery = read(dataset, landing)
        files = sorted([*files, *delivery.members])
    except OSError as error:
        raise InputError(f"{landing} cannot be read ({error.strerror}: {error.filename}); grant access to it") from error
    refused = delivery.rejects["path"][delivery.rejects["path"].isin(files)]
    piles = pd.concat([delivery.rows["path"], refused, pd.Series(delivery.metadata_files, dtype="str")])
    assert not piles.duplicated().any(), f"{dataset.reader} puts {piles[piles.duplicated()].tolist()[:3]} on two piles"
    lost = sorted(set(files) ^ set(piles))
    if lost:
        raise InputError(
            f"{landing} changed while it was read ({len(lost)} files came or went, the first is {lost[0]}); "
            "run ingest again once the delivery is complete"
        )
    return files, delivery


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    """Turn a full disk or a missing right into one sentence; delivered files' errors never come here."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {out} ({error.strerror or error}); free some space or choose a folder you may write to, then run "
            "ingest again: what is stored already stays"
        ) from error


def _hold_settings(config: Config, out: Path, dataset: Dataset) -> None:
    """Write the settings that decide about stored bytes, or refuse if they are not what the dataset was stored with."""
    settings = config.rules._asdict()
    path = out / SETTINGS_NAME
    if not path.is_file():
        write_json(path, settings)
        return
    former = read_json(path)
    changed = [f"{name} {former.get(name)} -> {value}" for name, value in settings.items() if former.get(name) != value]
    if changed:
        raise ConfigError(
            f"ingest settings changed ({', '.join(changed)}) while {dataset.key} is already stored; restore them, "
            f"or remove {out} to ingest its whole delivery anew"
        )


def _finish(config: Config, dataset: Dataset, landing: Path, out: Path, files: list[str], delivery: Delivery) -> Record:
    """Write manifest, quarantine and record from what the ledger holds now; files that would not change stay as they are."""
    ledger, present = Ledger(out), set(files)
    licence = delivered_licence(landing, files, out)
    delivery = hold_pairs(delivery, ledger.rows)
    path = out / "manifest.parquet"
    former = read_table(path, MANIFEST) if path.is_file() else empty(MANIFEST)
    manifest = manifest_table(dataset, delivery, present, ledger.rows, former)
    quarantine = quarantine_table(dataset, delivery, present, ledger.rows, manifest)
    _settle(out / "quarantine.parquet", quarantine, QUARANTINE)
    _settle(path, manifest, MANIFEST)
    shas = ledger.rows["delivered_sha256"].reindex(files)
    drawn = shas[~shas.index.isin(delivery.members) & (shas.index.str.casefold() != LICENCE)]
    record = Record(
        stage="ingest",
        key=dataset.key,
        counts=_counts(dataset, delivery, present, manifest, quarantine) | {"shards": manifest["shard"].nunique()},
        hashes={
            "manifest": sha256_file(path),
            "quarantine": sha256_file(out / "quarantine.parquet"),
            "delivery": sha256_json([[path, sha if isinstance(sha, str) else None] for path, sha in shas.items()]),
        },
        values={
            "reasons": {str(reason): int(n) for reason, n in quarantine["reason"].value_counts().sort_index().items()},
            "synthetic": _is_synthetic(dataset, landing, set(drawn)),
            **licence,
            **({"official_table": True} if any(path.casefold() == OFFICIAL for path in delivery.metadata_files) else {}),
        },
        config=config.rules._asdict(),
    )
    if not (out / RECORD_NAME).is_file() or Record.load(out) != record:
        record.save(out)
    return record


def _settle(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    if not path.is_file() or not pq.read_table(path).equals(to_table(frame, schema)):
        write_table(path, frame, schema)


def _counts(
    dataset: Dataset, delivery: Delivery, files: set[str], manifest: pd.DataFrame, quarantine: pd.DataFrame
) -> dict[str, int]:
    """Return the counts, in which every file of landing, and every member of a container, stands exactly once."""
    in_landing = quarantine["path"].isin(list(files))
    counts = {
        "files_in_landing": len(files),
        "images": len(manifest),
        "kept_images": int((~manifest["path"].isin(list(files))).sum()),
        "quarantined_files": int(in_landing.sum()),
        "quarantined_rows": int((~in_landing).sum()),
        "metadata_files": len(delivery.metadata_files),
    }
    if delivery.members:
        counts["members"] = len(delivery.members)  # how many of files_in_landing lie in a container
    assert counts_add_up(counts), f"{dataset.key}: a file stands nowhere or twice: {counts}"
    return counts


def counts_add_up(counts: dict[str, int]) -> bool:
    """Return whether files in landing = images whose file is there + quarantined files + metadata files."""
    here = counts["images"] - counts["kept_images"]
    return counts["files_in_landing"] == here + counts["quarantined_files"] + counts["metadata_files"]


def _is_synthetic(dataset: Dataset, landing: Path, shas: set[Any]) -> bool:
    """Return whether ``panderm synthesize`` wrote every delivered file, by the receipt that it leaves beside the deliveries."""
    root = landing.resolve().parents[dataset.key.count("/")]
    receipt = root / ".synthetic" / f"{dataset.key.replace('/', '__')}.json"
    if not receipt.is_file():
        return False
    return shas <= {entry["sha256"] for entry in read_json(receipt).values()}
