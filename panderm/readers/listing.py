"""What lies in a landing folder, and which names look like images."""

from __future__ import annotations

import os
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".heic"})
"""Names that claim to be images; whether they are, and of an allowed format, is for the decoder to say."""

_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db"})


def list_files(landing: Path) -> list[str]:
    """Return every file below ``landing`` as a posix path relative to it, sorted.

    Linked folders are followed once each, so that a delivery may be a link to where an institution's share is mounted;
    broken links count as files, because somebody delivered them.
    """
    found: list[str] = []
    seen: set[str] = set()
    folders = [("", os.fspath(landing))]
    while folders:
        prefix, folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                else:
                    found.append(prefix + entry.name)
    return sorted(found)


def suffix(path: str) -> str:
    """Return the lower-case extension of a posix path with its dot, or an empty text."""
    return os.path.splitext(path)[1].casefold()


def looks_like_image(path: str) -> bool:
    """Return whether the name claims to be an image and is not litter such as ``._IMG.jpg``."""
    return suffix(path) in IMAGE_SUFFIXES and not is_litter(path)


def is_litter(path: str) -> bool:
    """Return whether an operating system left the file: hidden, or one of the well-known names."""
    return any(part.startswith(".") or part.casefold() in _LITTER for part in path.split("/"))
