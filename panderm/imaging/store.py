"""One delivered file -> the bytes we store, or a reason why not. Runs in worker processes, so it imports little."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import imagehash

from panderm.core.reasons import Reason
from panderm.imaging.preprocessing import PIXEL_CAP, UndecodableImage, decode


class Rules(NamedTuple):
    """What is accepted and how it is stored; a change of any of them changes stored bytes.

    Attributes:
        pixel_cap: largest image decoded, pixels.
        byte_cap: largest file read, bytes. 300 MB is an uncompressed 100-megapixel photo.
        jpeg_quality: 95 at 4:4:4; measured on HAM10000 by benchmarks/stored_quality.py.
    """

    pixel_cap: int = PIXEL_CAP
    byte_cap: int = 300_000_000
    jpeg_quality: int = 95


class Job(NamedTuple):
    """A file to store; ``known_sha256`` is what this path held when it was last stored, empty if never."""

    path: str
    file: Path
    known_sha256: str
    rules: Rules


class Stored(NamedTuple):
    """What became of a file: ``image`` bytes and facts, or a ``reason``; neither if it is what it was before."""

    path: str
    delivered_sha256: str
    delivered_bytes: int
    reason: str = ""
    detail: str = ""
    image: bytes = b""
    extension: str = ""
    delivered_format: str = ""
    stored_sha256: str = ""
    phash: str = ""
    width: int = 0
    height: int = 0


def store(job: Job) -> Stored:
    """Decode a delivered file safely and encode its pixels anew, so that nothing else of the file survives.

    JPEG stays JPEG (4:4:4), PNG stays PNG. Never raises for what the file contains.
    """
    try:
        size = job.file.stat().st_size
        if size > job.rules.byte_cap:
            detail = f"the file has {size:,} bytes; at most {job.rules.byte_cap:,} are read"
            return Stored(job.path, "", size, Reason.TOO_LARGE, detail)
        data = job.file.read_bytes()
    except OSError as error:
        return Stored(job.path, "", 0, Reason.UNREADABLE, f"the file cannot be read ({error.strerror}); deliver it again")
    digest = hashlib.sha256(data).hexdigest()
    if digest == job.known_sha256:
        return Stored(job.path, digest, len(data))
    delivered_format = "JPEG" if data[:2] == b"\xff\xd8" else "PNG"  # decode refuses everything else
    try:
        image = decode(data, job.rules.pixel_cap)
    except UndecodableImage as error:
        return Stored(job.path, digest, len(data), Reason(error.reason), str(error))
    stream = io.BytesIO()
    if delivered_format == "JPEG":
        image.save(stream, "JPEG", quality=job.rules.jpeg_quality, subsampling=0)
    else:
        image.save(stream, "PNG")
    stored = stream.getvalue()
    return Stored(
        path=job.path,
        delivered_sha256=digest,
        delivered_bytes=len(data),
        image=stored,
        extension="jpg" if delivered_format == "JPEG" else "png",
        delivered_format=delivered_format,
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        phash=str(imagehash.phash(image)),
        width=image.width,
        height=image.height,
    )
