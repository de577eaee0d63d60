"""The trouble that twins carry on purpose, in one table, and the bytes of the files that are wrong."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, PngImagePlugin

from panderm.twins.picture import Picture, draw, encode, lesion_mask

CANARIES: dict[str, str] = {
    "exif": "CANARY-EXIF-q7ZpW2",
    "gps": "CANARY-GPS-m4RtX9",
    "xmp": "CANARY-XMP-b8LdK3",
    "iptc": "CANARY-IPTC-v5HcN6",
    "comment": "CANARY-COMMENT-y2FsJ1",
    "trailer": "CANARY-TRAILER-k6GwB4",
    "png_text": "CANARY-PNGTEXT-d3VxT8",
}
"""Channel of a tagged photo -> the text hidden there; none of them may turn up anywhere under ``data/``."""

BOMB_SIDE = 30_000
"""Width and height of the image that must not be decoded, pixels."""


class Trouble(NamedTuple):
    """One thing that is wrong on purpose.

    Attributes:
        key: its name in a plan's ``trouble``.
        what: what is wrong.
        where: which deliveries carry it.
        outcome: what the pipeline makes of it: a quarantine reason, or words.
    """

    key: str
    what: str
    where: str
    outcome: str


_ALL = "every delivery"
_TABLES = "every delivery with a table"
_FOLDERS = "edu1, edu2, benchmarks/med_node, benchmarks/dermnet, benchmarks/sd_128, benchmarks/isic2018_seg"
_MASKS = "benchmarks/isic2018_seg, benchmarks/ham10000_seg"
_ARCHIVE = "benchmarks/bcn20000, benchmarks/mskcc, benchmarks/hiba"
TROUBLE: tuple[Trouble, ...] = (
    Trouble("truncated", "an image file that breaks off after half its bytes", _ALL, "truncated"),
    Trouble("text", "a text file with an image's name", _ALL, "not_an_image"),
    Trouble("bomb", "a PNG of 30,000 x 30,000 pixels in about 110 kB", _ALL, "too_many_pixels"),
    Trouble(
        "tagged",
        "a JPEG with GPS, owner, XMP, IPTC, comment, bytes after its end, orientation 6",
        _ALL,
        "stored upright, without tags",
    ),
    Trouble(
        "tagged_png",
        "a PNG with text chunks",
        "mym, hop, benchmarks/pad_ufes, benchmarks/ddi, benchmarks/nevus_count, benchmarks/tbp_risk, benchmarks/tbp_screening",
        "stored without tags",
    ),
    Trouble("alpha", "a PNG with transparent corners", "benchmarks/ddi", "stored on white"),
    Trouble("exact_duplicate", "the same bytes under a second name", _ALL, "duplicate_bytes"),
    Trouble("recompressed", "the same photo, compressed once more", _ALL, "published; curation finds it by perceptual hash"),
    Trouble("litter", "Thumbs.db, .DS_Store and a note", _ALL, "unexpected_file"),
    Trouble("duplicate_row", "a second metadata row for an image", _TABLES, "duplicate_row"),
    Trouble("missing_file", "a metadata row without its file", _TABLES, "missing_file"),
    Trouble("no_metadata", "an image without a metadata row", _TABLES, "no_metadata"),
    Trouble("no_folder", "an image outside every condition's folder", _FOLDERS, "no_metadata"),
    Trouble(
        "missing_column", "a table without one of its optional columns", "hop (one visit), nssi", "the column's values are null"
    ),
    Trouble(
        "encoding", "a table in Windows-1252, with a byte order mark, or with semicolons", "mmt, acemid_path, uah89k", "read"
    ),
    Trouble("unknown_label", "a label outside the task's classes", "benchmarks with labels", "unknown_label"),
    Trouble("held_out", "images of the benchmark's three institutions", "isic2024", "held_out"),
    Trouble(
        "out_of_scope",
        "images of other institutions, without a diagnosis, of the other modality, or without a mask",
        f"benchmarks/isic2024, {_ARCHIVE}, benchmarks/derm7pt_d, benchmarks/derm7pt_c, {_MASKS}",
        "out_of_scope",
    ),
    Trouble("contradiction", "rows whose columns disagree", f"{_ARCHIVE}, benchmarks/sddi1", "contradiction"),
    Trouble("mask_size", "a mask of half its image's size", _MASKS, "bad_mask, with its image"),
    Trouble("mask_empty", "a mask that marks nothing", _MASKS, "bad_mask, with its image"),
    Trouble("mask_alone", "a mask without an image", _MASKS, "bad_mask"),
    Trouble(
        "benchmark_copy", "an exact copy of a benchmark's image", "mmt, edu1", "published, kept out of the corpus by sha256"
    ),
    Trouble(
        "benchmark_recompressed",
        "a benchmark's image compressed once more",
        "mmt, edu1",
        "published, kept out of the corpus by perceptual hash",
    ),
    Trouble(
        "benchmark_id", "an image with the id of a benchmark's image", "isic2024", "published, kept out of the corpus by id"
    ),
    Trouble(
        "benchmark_patient",
        "an image of a patient of the benchmark",
        "isic2024",
        "published, kept out of the corpus by patient",
    ),
    Trouble("shared_patient", "patients of mym and hop, photographed again", "mym_hop_derm", "grouped as one patient"),
)
"""All of it; ``docs/deliveries.md`` shows this table, a test compares the two."""


def spoil(how: str, picture: Picture) -> bytes:
    """Return the file of a picture with something wrong about it; ``how`` is a key of :data:`SPOILERS`."""
    return SPOILERS[how](picture)


def _truncated(picture: Picture) -> bytes:
    data = encode(picture)
    return data[: len(data) // 2]


def _text(picture: Picture) -> bytes:
    return f"The photo of {picture.view} could not be exported. Please ask the photographer.\n".encode()


def _bomb(picture: Picture) -> bytes:  # noqa: ARG001 - the same for every delivery
    return bomb()


@lru_cache(maxsize=1)
def bomb(side: int = BOMB_SIDE) -> bytes:
    """Return a white 1-bit PNG of ``side`` x ``side`` pixels, written row by row without an image in memory."""
    row = b"\x00" + b"\xff" * ((side + 7) // 8)
    packer = zlib.compressobj(6)
    rows = [packer.compress(row * 100) for _ in range(side // 100)] + [packer.compress(row * (side % 100)), packer.flush()]
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(rows)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _tagged(picture: Picture) -> bytes:
    """Return a JPEG on its side, with a name and a place in every channel that can hold one."""
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise to stand upright
    exif[0x013B] = exif[0x8298] = exif[0x010E] = CANARIES["exif"]  # artist, copyright, description
    place = exif.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "S", (27.0, 29.0, 53.3), "E", (153.0, 1.0, 37.7)
    place[28] = CANARIES["gps"].encode()  # area information
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><owner>{CANARIES["xmp"]}</owner></x:xmpmeta>'.encode()
    file = io.BytesIO()
    lying = draw(picture).transpose(Image.Transpose.ROTATE_90)
    lying.save(file, "JPEG", quality=picture.quality, exif=exif, xmp=xmp, comment=CANARIES["comment"])
    data = file.getvalue()
    return data[:2] + _iptc(CANARIES["iptc"].encode()) + data[2:] + CANARIES["trailer"].encode()


def _iptc(caption: bytes) -> bytes:
    """Return a JPEG segment APP13 with an IPTC caption (record 2, dataset 120)."""
    record = b"\x1c\x02\x78" + struct.pack(">H", len(caption)) + caption
    block = b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(record)) + record + b"\x00" * (len(record) % 2)
    body = b"Photoshop 3.0\x00" + block
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def _tagged_png(picture: Picture) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", CANARIES["png_text"])
    info.add_itxt("XML:com.adobe.xmp", CANARIES["png_text"])
    file = io.BytesIO()
    draw(picture).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _alpha(picture: Picture) -> bytes:
    """Return an RGBA PNG, opaque but for its corners."""
    image = draw(picture)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, image.width // 8, image.height // 8))
    image.putalpha(alpha)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _mask(picture: Picture) -> bytes:
    return _png(lesion_mask(picture))


def _mask_size(picture: Picture) -> bytes:
    return _png(lesion_mask(picture).resize((picture.size[0] // 2, picture.size[1] // 2), Image.Resampling.NEAREST))


def _mask_empty(picture: Picture) -> bytes:
    return _png(Image.new("L", picture.size))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


SPOILERS: dict[str, Callable[[Picture], bytes]] = {
    "truncated": _truncated,
    "text": _text,
    "bomb": _bomb,
    "tagged": _tagged,
    "tagged_png": _tagged_png,
    "alpha": _alpha,
    "mask": _mask,
    "mask_size": _mask_size,
    "mask_empty": _mask_empty,
}
"""What a file can hold in place of the picture: the picture spoilt, or a mask."""
