"""Bitmaps at ingest: the picture, and the one reason each broken file is refused for."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image

from panderm.imaging.bitmap import decode_bitmap
from panderm.imaging.preprocessing import UndecodableImage
from panderm.imaging.store import Job, Rules, store


def bitmap(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(file, "BMP")
    return file.getvalue()


def test_store__keeps_a_bitmaps_pixels_as_png(tmp_path: Path) -> None:
    file = tmp_path / "IMD003.bmp"
    file.write_bytes(bitmap())
    stored = store(Job("IMD003.bmp", file, file.stat().st_size, True, "", Rules()))
    kept = Image.open(io.BytesIO(stored.image))
    assert (stored.delivered_format, kept.format, stored.reason) == ("PNG", "PNG", "")
    assert kept.tobytes() == Image.open(file).tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"BM", "not_an_image"), (bitmap()[:200], "truncated"), (bitmap(size=(400, 300)), "too_many_pixels")],
)
def test_decode_bitmap__refuses_with_one_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableImage, match=r".") as caught:
        decode_bitmap(data, 100_000)
    assert caught.value.reason == reason


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "1"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decode_bitmap__survives_any_damage(mode: str) -> None:
    rng, whole, outcomes = random.Random(mode), bitmap(mode), set()
    for number in range(400):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(2, 70)] = rng.randrange(256)
        try:
            outcomes.add(decode_bitmap(bytes(data[: len(data) - number % 3 * 50]), 1_000_000).mode)
        except UndecodableImage as error:
            outcomes.add(error.reason)
    assert outcomes == {"RGB", "not_an_image", "truncated", "too_many_pixels"}
