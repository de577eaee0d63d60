"""Shard files: plain WebDataset tars whose members can also be read by position.

A sample is two members with one key: the image file and a small JSON. Headers carry no time and no owner, so the same
images give the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any, NamedTuple, Self

from panderm.core.errors import InputError

_BLOCK = 512  # tar's unit: every header and every member's bytes start at a multiple of it


class Position(NamedTuple):
    """Where an image's file stands in its shard: ``shard[offset : offset + nbytes]``."""

    offset: int
    nbytes: int


class ShardWriter:
    """Write samples to one tar, as a context manager; the caller provides the path (see ``core.files.writing``)."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: str, extension: str, image: bytes, facts: dict[str, Any]) -> Position:
        """Add a sample and return the position of its image.

        Args:
            key: the sample's name, without dots and separators (WebDataset cuts names at the first dot).
            extension: ``jpg`` or ``png``.
            image: the image file.
            facts: what a streaming reader wants to know; JSON values.
        """
        assert not set(key) & set("./\\"), f"key {key!r} would be cut by a WebDataset reader"
        self._member(f"{key}.{extension}", image)
        position = Position(self._tar.offset - _padded(len(image)), len(image))
        self._member(f"{key}.json", json.dumps(facts, sort_keys=True).encode())
        return position

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = len(data), 0o644, 0
        self._tar.addfile(header, io.BytesIO(data))

    def close(self) -> None:
        """Finish the tar."""
        self._tar.close()


def _padded(nbytes: int) -> int:
    return -(-nbytes // _BLOCK) * _BLOCK


def read_image_bytes(root: Path, shard: str, offset: int, nbytes: int) -> bytes:
    """Return one image's file out of a shard below ``root``.

    Raises:
        InputError: the shard is missing or shorter than the manifest says.
    """
    reader = ShardReader(root)
    try:
        return reader.read(shard, offset, nbytes)
    finally:
        reader.close()


class ShardReader:
    """Read images by position, keeping the shards open. Each process opens its own files, after a fork or spawn too.

    Args:
        root: the folder that ``shard`` names are relative to.
        keep_open: how many shards stay open; 64 keeps well below the usual limit of 1,024 open files.
    """

    def __init__(self, root: Path, keep_open: int = 64) -> None:
        self.root = root
        self.keep_open = keep_open
        self._handles: dict[str, int] = {}
        self._pid = os.getpid()

    def read(self, shard: str, offset: int, nbytes: int) -> bytes:
        """Return ``shard[offset : offset + nbytes]``.

        Raises:
            InputError: the shard is missing or shorter than the manifest says.
        """
        data = os.pread(self._handle(shard), nbytes, offset)
        if len(data) != nbytes:
            raise InputError(f"{self.root / shard} ends before byte {offset + nbytes}; fetch it again (`dvc pull`)")
        return data

    def _handle(self, shard: str) -> int:
        if self._pid != os.getpid():  # handles of the parent belong to the parent
            self._handles, self._pid = {}, os.getpid()
        if shard not in self._handles:
            if len(self._handles) >= self.keep_open:
                os.close(self._handles.pop(next(iter(self._handles))))
            try:
                self._handles[shard] = os.open(self.root / shard, os.O_RDONLY)
            except OSError as error:
                raise InputError(
                    f"{self.root / shard} cannot be opened ({error.strerror}); fetch it with `dvc pull`"
                ) from error
        return self._handles[shard]

    def close(self) -> None:
        """Close every open shard."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "keep_open": self.keep_open, "_handles": {}, "_pid": -1}
