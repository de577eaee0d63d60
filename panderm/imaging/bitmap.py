"""Windows bitmaps, which PH2 is delivered as: decoded at ingest only, and stored as PNG.

Not in :mod:`panderm.imaging.preprocessing`, because that is what serves: a client sends JPEG or PNG.
"""

from __future__ import annotations

import io
import struct

from PIL import Image

from panderm.imaging.preprocessing import UndecodableImage

START = b"BM"
"""First bytes of a bitmap."""

_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, OverflowError, struct.error)
"""What Pillow raises for damaged headers and pixels; a test flips bytes to hold that it is no more."""


def decode_bitmap(data: bytes, pixel_cap: int) -> Image.Image:
    """Return a bitmap file as an RGB image.

    Raises:
        UndecodableImage: with reason ``not_an_image``, ``too_many_pixels`` or ``truncated``.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("BMP",))
    except Image.DecompressionBombError as error:
        sentence = f"the image has far more than {pixel_cap:,} pixels, the most that are decoded"
        raise UndecodableImage("too_many_pixels", sentence) from error
    except _DAMAGED as error:
        raise UndecodableImage("not_an_image", "the bytes are not an image; send a JPEG, PNG or BMP file") from error
    if image.width * image.height > pixel_cap:
        seen = f"the image is {image.width} x {image.height}"
        raise UndecodableImage("too_many_pixels", f"{seen}; at most {pixel_cap:,} pixels are decoded")
    try:
        return image.convert("RGB")
    except _DAMAGED as error:
        raise UndecodableImage("truncated", f"the data break off or are damaged ({error}); send the file again") from error
