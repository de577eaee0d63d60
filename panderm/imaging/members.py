"""Images that have no file of their own: members of a container that was delivered as one file.

A member is named ``<container>#<member>``, such as ``train-image.hdf5#ISIC_0015670``, wherever else a path stands. A kind
of container is one row of :data:`OPENERS`: a suffix, and the module that opens it. Opening reads no pixel.
"""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image

from panderm.core.reasons import Reason

MARK = "#"
"""Between container and member."""

OPENERS: dict[str, str] = {
    ".hdf5": "panderm.imaging.hdf5",
    ".h5": "panderm.imaging.hdf5",
    ".svs": "panderm.imaging.slides",
}
"""Suffix in lower case -> module with ``open_container(file: Path) -> Container``."""

_KEPT_OPEN = 4
"""Containers that a process keeps open: opening one costs as much as reading some hundred of its members."""


class BadMember(ValueError):
    """A container or a member that cannot be read; the text is one sentence.

    Attributes:
        reason: why a container is refused as a whole.
    """

    def __init__(self, sentence: str, reason: Reason = Reason.TRUNCATED) -> None:
        super().__init__(sentence)
        self.reason = reason


class Member(NamedTuple):
    """What a container holds under a name.

    Attributes:
        data: what is hashed: the bytes of an image file or, with ``image``, the pixels as they were read.
        image: the picture, where the container holds pixels instead of image files (a region of a slide).
        form: ``JPEG`` or ``PNG``: how ``image`` is to be stored.
    """

    data: bytes
    image: Image.Image | None = None
    form: str = "JPEG"


class Container(Protocol):
    """An open container."""

    def names(self) -> list[str]:
        """Return the members' names, sorted."""
        ...

    def read(self, name: str, byte_cap: int) -> Member:
        """Return one member.

        Raises:
            BadMember: there is none of that name, it is no image, or it has more than ``byte_cap`` bytes.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def is_container(path: str) -> bool:
    """Return whether a file's name says that it holds members."""
    return os.path.splitext(path)[1].casefold() in OPENERS


def join(container: str, name: str) -> str:
    """Return the path of a member."""
    return f"{container}{MARK}{name}"


def split(path: str) -> tuple[str, str] | None:
    """Return container and member of a member's path, None for the path of a file."""
    position = path.find(MARK)
    while position >= 0:
        if is_container(path[:position]):
            return path[:position], path[position + 1 :]
        position = path.find(MARK, position + 1)
    return None


def open_container(file: Path) -> Container:
    """Open a container for reading.

    Raises:
        BadMember: it is damaged, or not what its name says.
        OSError: the file system does not give it.
    """
    module = importlib.import_module(OPENERS[file.suffix.casefold()])
    container: Container = module.open_container(file)
    return container


def member_names(file: Path) -> list[str]:
    """Return the names of a container's members, sorted.

    Raises:
        BadMember: it is damaged, or not what its name says.
        OSError: the file system does not give it.
    """
    container = open_container(file)
    try:
        return container.names()
    finally:
        container.close()


def read_member(file: Path, name: str, byte_cap: int) -> Member:
    """Return a member; the container stays open in this process for the next one.

    Raises:
        BadMember: as :meth:`Container.read`, and for a container that is damaged.
        OSError: the file system does not give it.
    """
    status = file.stat()
    return _opened(file, os.getpid(), status.st_size, status.st_mtime_ns).read(name, byte_cap)


@lru_cache(maxsize=_KEPT_OPEN)
def _opened(file: Path, _process: int, _size: int, _mtime_ns: int) -> Container:
    """Open a container once for each version of it, and anew in a forked process."""
    return open_container(file)
