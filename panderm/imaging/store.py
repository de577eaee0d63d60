"""One delivered file -> the bytes we store, or a reason why not. Runs in worker processes, so it imports little."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from panderm.core.reasons import Reason
from panderm.imaging.bitmap import START, decode_bitmap
from panderm.imaging.members import BadMember, read_member
from panderm.imaging.preprocessing import PIXEL_CAP, UndecodableImage, decode

EXTENSIONS = {"JPEG": "jpg", "PNG": "png"}


class Rules(NamedTuple):
    """What is accepted and how it is stored; a change of any of them changes stored bytes.

    Attributes:
        pixel_cap: largest image decoded, pixels.
        byte_cap: largest image file read, bytes; 300 MB is an uncompressed 100-megapixel photo.
        jpeg_quality: 95 at 4:4:4: 54 dB against the delivered pixels of the HAM10000 subset, and the last step before
            files double in size (docs/data.md).
    """

    pixel_cap: int = PIXEL_CAP
    byte_cap: int = 300_000_000
    jpeg_quality: int = 95


class Job(NamedTuple):
    """A delivered file to look at.

    Attributes:
        path: its name, relative to the landing folder.
        file: where it lies.
        size: in bytes, as far as known; bounds how much is under way at once.
        is_image: False for files that are only hashed (metadata, refused by the layout).
        known_sha256: what this path held when it was last decided about, empty if never.
        rules: what is accepted.
        member: name of an image within ``file``, where that is a container (:mod:`panderm.imaging.members`).
        is_mask: whether the image is a mask; it is stored as a PNG of 0 and 255.
    """

    path: str
    file: Path
    size: int
    is_image: bool
    known_sha256: str
    rules: Rules
    member: str = ""
    is_mask: bool = False


class Stored(NamedTuple):
    """What became of a file: ``image`` and its facts, or a ``reason``, or neither where the file was only hashed or known.

    Attributes:
        delivered_bytes: -1 where the file system gave nothing.
        image: the file to put into a shard.
        delivered_format: ``JPEG`` or ``PNG``; the stored image has the same.
        phash: perceptual hash of the upright picture, 16 hex digits.
        width: pixels, upright.
        height: pixels, upright.
    """

    path: str
    mtime_ns: int
    delivered_sha256: str
    delivered_bytes: int
    reason: str = ""
    detail: str = ""
    image: bytes = b""
    delivered_format: str = ""
    stored_sha256: str = ""
    phash: str = ""
    width: int = 0
    height: int = 0


def store(job: Job) -> Stored:
    """Decode a delivered file safely and encode its pixels anew, so that nothing else of the file survives.

    JPEG stays JPEG (4:4:4), PNG stays PNG. Never raises for what the file is or contains.
    """
    try:
        if job.member:
            return _look_inside(job)
        # Non-blocking, so that a named pipe in a delivery answers instead of waiting for a writer.
        with open(os.open(job.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            return _look(job, stream)
    except OSError as error:
        detail = f"the file cannot be read ({error.strerror}); deliver it again"
        return Stored(job.path, 0, "", -1, Reason.UNREADABLE, detail)


def _look(job: Job, stream: io.BufferedReader) -> Stored:
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        return Stored(job.path, status.st_mtime_ns, "", -1, Reason.UNREADABLE, "it is a device or a pipe; deliver a file")
    if not job.is_image or status.st_size > job.rules.byte_cap:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        hashed = Stored(job.path, status.st_mtime_ns, digest, status.st_size)
        detail = f"the file has {status.st_size:,} bytes; at most {job.rules.byte_cap:,} are read"
        return hashed._replace(reason=Reason.TOO_LARGE, detail=detail) if job.is_image else hashed
    data = stream.read(job.rules.byte_cap + 1)
    digest = hashlib.sha256(data).hexdigest()
    hashed = Stored(job.path, status.st_mtime_ns, digest, len(data))
    return hashed if digest == job.known_sha256 else _encode(hashed, data, job)


def _look_inside(job: Job) -> Stored:
    """Look at a member; its time of change is its container's."""
    mtime_ns = job.file.stat().st_mtime_ns
    try:
        member = read_member(job.file, job.member, job.rules.byte_cap)
    except BadMember as error:
        return Stored(job.path, mtime_ns, "", -1, Reason.UNREADABLE, str(error))
    digest = hashlib.sha256(member.data).hexdigest()
    hashed = Stored(job.path, mtime_ns, digest, len(member.data))
    if not job.is_image or digest == job.known_sha256:
        return hashed
    if member.image is not None:
        return _facts(hashed, member.image.convert("RGB"), member.form, job.rules)
    return _encode(hashed, member.data, job)


def _encode(hashed: Stored, data: bytes, job: Job) -> Stored:
    try:
        bitmap = data.startswith(START)
        image = decode_bitmap(data, job.rules.pixel_cap) if bitmap else decode(data, job.rules.pixel_cap)
    except UndecodableImage as error:
        return hashed._replace(reason=Reason(error.reason), detail=str(error))
    kind = "JPEG" if data.startswith(b"\xff\xd8") else "PNG"  # what decode accepts besides, and how a bitmap is stored
    if not job.is_mask:
        return _facts(hashed, image, kind, job.rules)
    mask = _two_values(image)
    if mask is None:
        return hashed._replace(reason=Reason.BAD_MASK, detail="the mask is empty: no pixel is marked; deliver the right one")
    return _facts(hashed, mask, "PNG", job.rules)


def _two_values(image: Image.Image) -> Image.Image | None:
    """Return a mask of 0 and 255 (mode L), split at half of its largest value; None where nothing is marked.

    Masks come with 0 and 1, with 0 and 255, and as JPEG with anything between.
    """
    grey = image.convert("L")
    top = int(np.asarray(grey).max())
    return grey.point([255 if 2 * value >= top else 0 for value in range(256)]) if top else None


def _facts(hashed: Stored, image: Image.Image, kind: str, rules: Rules) -> Stored:
    encoded = encode(image, kind, rules.jpeg_quality)
    return hashed._replace(
        image=encoded,
        delivered_format=kind,
        stored_sha256=hashlib.sha256(encoded).hexdigest(),
        phash=str(imagehash.phash(image)),
        width=image.width,
        height=image.height,
    )


def encode(image: Image.Image, kind: str, jpeg_quality: int = Rules().jpeg_quality) -> bytes:
    """Return an RGB image or a mask (L) as a file of ``kind`` (``JPEG`` or ``PNG``) that holds pixels and nothing else."""
    stream = io.BytesIO()
    if kind == "JPEG":
        image.save(stream, kind, quality=jpeg_quality, subsampling="4:4:4")
    else:
        image.save(stream, kind)
    return stream.getvalue()
