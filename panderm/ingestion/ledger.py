"""The ledger of a staging folder: what became of every delivered file, in parts that are never rewritten.

A part is committed by its rename, after the shard it describes; a shard without a part is a leftover of a killed run and is
removed. Manifest and quarantine are computed from delivery and ledger, so a kill costs at most the shard being written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from panderm.core.files import remove_leftovers
from panderm.core.tables import MANIFEST, empty, read_table, write_table

PLACE: tuple[str, ...] = ("shard", "offset", "nbytes")
IMAGE_FACTS: tuple[str, ...] = (
    *("delivered_sha256", "delivered_bytes", "delivered_format", "stored_sha256", "phash", "width", "height"),
    *PLACE,
)
"""Columns of the manifest that come from the bytes, not from the delivery's metadata."""

LEDGER = pa.schema(
    [
        ("path", pa.string()),
        ("mtime_ns", pa.int64()),
        ("reason", pa.string()),  # why the bytes were refused; null for stored images and for files only hashed
        ("detail", pa.string()),
        *((name, MANIFEST.field(name).type) for name in IMAGE_FACTS),  # delivered_bytes is -1 where nothing could be read
    ]
)

PARTS = "ledger"
SHARDS = "shards"


class Ledger:
    """The parts in ``folder/ledger`` read as one table.

    Args:
        folder: a dataset's staging folder.

    Attributes:
        rows: the latest word on each path, columns of :data:`LEDGER`, indexed by path.
        shards: every shard that a part describes, in the order of writing, also those that nothing is read from any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        parts = sorted((folder / PARTS).glob("[0-9]*.parquet"))
        self._parts = len(parts)
        tables = [read_table(part, LEDGER) for part in parts]
        rows = pd.concat(tables, ignore_index=True) if tables else empty(LEDGER)
        self.shards: list[str] = rows["shard"].dropna().drop_duplicates().tolist()
        self.rows = rows.drop_duplicates("path", keep="last").set_index("path", drop=False)

    def clean(self) -> None:
        """Remove what a killed run left: unfinished files, and shards that no part describes."""
        for name in (".", PARTS, SHARDS):
            if (self._folder / name).is_dir():
                remove_leftovers(self._folder / name)
        for path in (self._folder / SHARDS).glob("*"):
            if f"{SHARDS}/{path.name}" not in self.shards:
                path.unlink()

    def commit(self, rows: list[dict[str, Any]]) -> None:
        """Append a part; :attr:`rows` stays what was read."""
        write_table(self._folder / PARTS / f"{self._parts:06d}.parquet", pd.DataFrame(rows, columns=LEDGER.names), LEDGER)
        self._parts += 1
