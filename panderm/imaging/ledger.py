"""The ledger of a staging folder: what became of every delivered file, in parts that are never rewritten.

A part is committed by its rename, after the shard it describes; a shard without a part is a leftover of a killed run and is
removed. Manifest and quarantine are computed from delivery and ledger, so a kill costs at most the shard being written.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from panderm.core.files import remove_leftovers
from panderm.core.tables import MANIFEST, empty, read_table, write_table

_BYTES = ("delivered_sha256", "delivered_bytes", "delivered_format", "stored_sha256", "phash", "width", "height")
_PLACE = ("shard", "offset", "nbytes")

LEDGER = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("reason", pa.string()),  # a quarantine reason, null for a stored image
        ("detail", pa.string()),
        *((name, MANIFEST.field(name).type) for name in (*_BYTES, *_PLACE)),
    ]
)
IMAGE_FACTS: tuple[str, ...] = (*_BYTES, *_PLACE)


class Ledger:
    """The parts in ``folder/ledger`` read as one table, the latest word on each path.

    Args:
        folder: a dataset's staging folder.
    """

    def __init__(self, folder: Path) -> None:
        self._parts = folder / "ledger"
        self._shards = folder / "shards"
        names = sorted(path.name for path in self._parts.glob("*.parquet"))
        self._count = len(names)
        tables = [read_table(self._parts / name, LEDGER) for name in names]
        self.rows = pd.concat(tables, ignore_index=True) if tables else empty(LEDGER)
        self.rows = self.rows.drop_duplicates("path", keep="last").set_index("path", drop=False)

    def clean(self) -> None:
        """Remove what a killed run left: unfinished files, and shards that no part describes."""
        for folder in (self._parts, self._shards):
            if folder.is_dir():
                remove_leftovers(folder)
        described = {Path(shard).name for shard in self.all_shards()}
        for path in self._shards.glob("*.tar"):
            if path.name not in described:
                path.unlink()

    def all_shards(self) -> list[str]:
        """Return every committed shard in order of writing, also those whose images were all superseded."""
        names: list[str] = []
        for path in sorted(self._parts.glob("*.parquet")):
            names += read_table(path, LEDGER)["shard"].dropna().unique().tolist()
        return names

    @property
    def number(self) -> int:
        """Return the number of the next part and its shard."""
        return self._count

    def commit(self, rows: list[dict[str, object]]) -> None:
        """Append a part."""
        frame = pd.DataFrame(rows, columns=LEDGER.names)
        write_table(self._parts / f"{self._count:06d}.parquet", frame, LEDGER)
        self._count += 1
        latest = (
            pd.concat([self.rows, frame.set_index("path", drop=False)])
            if len(self.rows)
            else frame.set_index("path", drop=False)
        )
        self.rows = latest[~latest.index.duplicated(keep="last")]
