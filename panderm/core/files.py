"""Files appear whole or not at all: write aside in the same folder, fsync, rename (wall 8 of the house)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panderm.core.errors import InputError, PanDermError
from panderm.core.layout import written_by

_ASIDE = ".aside-"  # prefix of everything unfinished; nothing that starts so is ever read
_CHUNK = 1 << 20
_RUST = re.compile(r"\(os error (\d+)\)")


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of ``data`` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 lower-case hex digits, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Return the sha256 of ``value`` in the canonical JSON form (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def fsync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a loss of power; a rename alone may not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_is_full(error: OSError) -> bool:
    """Return whether a write failed for want of room: of the disk's, or of a quota's."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def cannot_write(target: Path, error: OSError) -> InputError:
    """Return the sentence for a file or folder that could not be written."""
    advice = "make room there" if disk_is_full(error) else "choose a folder you may write to"
    return InputError(f"cannot write {target} ({error.strerror}); {advice}")


@contextmanager
def _plainly(target: Path, begun: bool) -> Iterator[None]:
    """Turn what keeps ``target`` from being written into one sentence; once writing has ``begun``, the want of room alone."""
    try:
        yield
    except OSError as error:
        if begun and not disk_is_full(error):
            raise
        raise cannot_write(target, error) from error
    except PanDermError:  # a file written meanwhile has told already, and may lie on another disk
        raise
    except Exception as error:
        if (full := _want_of_room(error)) is None:
            raise
        raise cannot_write(target, full) from error


def _want_of_room(error: Exception) -> OSError | None:
    """Return the want of room that a library tells in an error of its own, None where it is something else.

    safetensors says it in Rust's words; torch raises its own error while the stream's is on its way.
    """
    if isinstance(error.__context__, OSError) and disk_is_full(error.__context__):
        return error.__context__
    told = _RUST.search(str(error))
    rust = OSError(int(told[1]), os.strerror(int(told[1]))) if told else None
    return rust if rust is not None and disk_is_full(rust) else None


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; on success it is fsynced and renamed to ``target``.

    On an exception the half-written file is removed and ``target`` stays as it was.

    Raises:
        InputError: the folder cannot be created or written, or there is no room.
    """
    aside = target.parent / f"{_ASIDE}{os.getpid()}-{target.name}"
    with _plainly(target, begun=False):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
    try:
        with _plainly(target, begun=True):
            yield aside
            with aside.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(aside, target)
            fsync_folder(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target`` whole or not at all."""
    with writing(target) as aside:
        aside.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``target`` whole or not at all."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, whole or not at all; equal values give equal bytes."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; run {written_by(path)} first") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); remove it and run {written_by(path)} again") from error


@contextmanager
def building_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; on success it takes ``target``'s place.

    Replacing an existing folder takes two renames; a kill between them is healed by :func:`recover_folder`,
    which this function calls first and every reader of a stage's output may call.

    Raises:
        InputError: the parent folder cannot be written, or there is no room.
    """
    aside = target.parent / f"{_ASIDE}new-{target.name}"
    former = target.parent / f"{_ASIDE}old-{target.name}"
    with _plainly(target, begun=False):
        target.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(target)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
    try:
        with _plainly(target, begun=True):
            yield aside
            for path in aside.rglob("*"):
                if path.is_file():
                    with path.open("rb") as stream:
                        os.fsync(stream.fileno())
            if target.exists():
                os.rename(target, former)
            os.rename(aside, target)
            fsync_folder(target.parent)
            shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Hold ``folder`` for this process alone; the kernel lets go of it when the process ends, however that happens.

    Args:
        folder: an existing folder; nothing is written into it.
        what: who holds it, for the sentence.

    Raises:
        InputError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder} is in use by another {what}; wait until that has ended") from error
        yield
    finally:
        os.close(handle)


def recover_folder(target: Path) -> None:
    """Undo a replacement of ``target`` that was killed between its two renames; otherwise do nothing."""
    former = target.parent / f"{_ASIDE}old-{target.name}"
    if former.exists() and not target.exists():
        os.rename(former, target)
    elif former.exists():
        shutil.rmtree(former, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete unfinished files and folders that a killed process left directly in ``folder``."""
    for path in folder.glob(f"{_ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
