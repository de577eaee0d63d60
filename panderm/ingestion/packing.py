"""Putting new images into shards, and saying in the ledger what became of every file looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from panderm.core.files import fsync_folder, sha256_file, writing
from panderm.core.reasons import Reason
from panderm.imaging.shards import ShardWriter
from panderm.imaging.store import EXTENSIONS, Stored
from panderm.ingestion.ledger import LEDGER, SHARDS, Ledger
from panderm.ingestion.news import News

_IN_PROGRESS = "next.tar"  # its final name carries the hash of its bytes; Ledger.clean removes it after a kill
_ROW = [name for name in LEDGER.names if name in Stored._fields]


class Packer:
    """Writes shards one after the other, each followed by the part of the ledger that describes it.

    Args:
        out: the staging folder.
        dataset: the dataset's key.
        ledger: gets a part for each shard.
        news: the files looked at.
        image_ids: path -> image id.
        shard_images: images a shard.
        masks: paths of masks: two lesions may well have the same one, so none is a duplicate.
    """

    def __init__(
        self,
        out: Path,
        dataset: str,
        ledger: Ledger,
        news: News,
        image_ids: dict[str, str],
        shard_images: int,
        masks: set[str] | None = None,
    ) -> None:
        self._out, self._dataset, self._ledger, self._news = out, dataset, ledger, news
        self._image_ids, self._shard_images, self._masks = image_ids, shard_images, masks or set()
        self._held, self._places = set(news.held), dict(news.places)
        self._number = len(ledger.shards)

    def pack(self, results: Iterable[Stored]) -> int:
        """Take what became of each file and return how many images were stored."""
        stream, images = iter(results), 0
        for first in stream:
            images += self._part(chain([first], stream))
        return images

    def _part(self, results: Iterator[Stored]) -> int:
        """Write one shard and its part of the ledger; stops when the shard is full."""
        rows: list[dict[str, Any]] = []
        added: list[dict[str, Any]] = []
        place = self._out / SHARDS / _IN_PROGRESS
        with writing(place) as aside, ShardWriter(aside) as writer:
            for stored in results:
                row = self._decide(stored)
                rows.append(row)
                if stored.image and row["reason"] is None and row.get("shard") is None:
                    row |= self._add(writer, stored)
                    added.append(row)
                    if len(added) == self._shard_images:
                        break
        if added:
            name = f"{SHARDS}/{self._number:06d}-{sha256_file(place)[:8]}.tar"
            os.replace(place, self._out / name)
            fsync_folder(place.parent)
            self._number += 1
            for row in added:
                row["shard"] = name
        else:
            place.unlink()
        self._ledger.commit(rows)
        return len(added)

    def _decide(self, stored: Stored) -> dict[str, Any]:
        """Return the file's row of the ledger; only a new image's place is still to come."""
        former = self._news.former.get(stored.path)
        row = {name: getattr(stored, name) for name in _ROW}
        row = {name: None if value == "" else value for name, value in row.items()}
        if not stored.image:
            unchanged = former is not None and not stored.reason and former["delivered_sha256"] == stored.delivered_sha256
            if former is not None and unchanged:  # touched, but what it was
                if former["shard"] and stored.path in self._image_ids and stored.path not in self._masks:
                    self._held.add(former["stored_sha256"])
                return former | {"mtime_ns": stored.mtime_ns}
            return row | {"width": None, "height": None}
        if stored.path in self._masks:
            return row
        if stored.stored_sha256 in self._held:
            return row | {"reason": Reason.DUPLICATE_BYTES.value}
        self._held.add(stored.stored_sha256)
        return row | self._places.get(stored.stored_sha256, {})

    def _add(self, writer: ShardWriter, stored: Stored) -> dict[str, Any]:
        """Add an image; its facts are those that no later delivery can correct, since a shard is never rewritten."""
        image_id = self._image_ids[stored.path]
        facts = {
            "dataset": self._dataset,
            "image_id": image_id,
            "stored_sha256": stored.stored_sha256,
            "width": stored.width,
            "height": stored.height,
        }
        position = writer.add(_key(image_id), EXTENSIONS[stored.delivered_format], stored.image, facts)
        return {"offset": position.offset, "nbytes": position.nbytes}


def _key(image_id: str) -> str:
    """Return the sample's name in the tar; readers give safe ids already, so this changes only a careless reader's."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", image_id)[:80]
