"""Pictures as data URIs, so that the report is one file that opens offline."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

SIDE = 96  # pixels; sharp enough to recognise a lesion, about 4 kB a picture


def png_uri(path: Path) -> str:
    """Return a PNG file as a data URI, or an empty string when there is none."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if path.is_file() else ""


def thumbnail_uri(image: Image.Image, side: int = SIDE) -> str:
    """Return a square centre crop of ``image``, ``side`` pixels wide, as a JPEG data URI."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    small = image.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
