from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from panderm.core.reasons import Reason
from panderm.imaging.preprocessing import Preprocessing, UndecodableImage, decode, prepare, prepare_bytes


@pytest.fixture
def corner() -> Image.Image:
    """Black, with a white corner at the top left, so that every turn shows."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:16, :16] = 255
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("orientation", "where"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_decode__turns_the_picture_upright(corner: Image.Image, kind: str, orientation: int, where: tuple[int, int]) -> None:
    image = decode(encode(corner, kind, exif=exif(orientation)))
    assert image.size == ((64, 48) if orientation < 5 else (48, 64))
    corners = {(row, column): np.asarray(image)[row, column].mean() for row in (0, -1) for column in (0, -1)}
    assert max(corners, key=lambda at: corners[at]) == where


def test_decode__drops_every_tag(corner: Image.Image) -> None:
    image = decode(encode(corner, "JPEG", exif=exif(1), comment=b"note", dpi=(72, 72)))
    assert image.info == {}
    assert not image.getexif()


def test_decode__ignores_tags_it_cannot_read(corner: Image.Image) -> None:
    data = encode(corner, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40)
    assert decode(data).size == (64, 48)


@pytest.mark.parametrize(
    ("data", "reason", "sentence"),
    [
        (b"", "not_an_image", "not an image"),
        (b"patient notes, saved as a photo", "not_an_image", "not an image"),
        (encode(Image.new("RGB", (8, 8)), "GIF"), "format_not_allowed", "GIF; allowed: JPEG, PNG"),
        (encode(Image.new("RGB", (8, 8)), "TIFF"), "format_not_allowed", "TIFF"),
        (encode(Image.new("RGB", (8, 8)), "WEBP"), "format_not_allowed", "WebP"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "format_not_allowed", "HEIC"),
        (bytes(128) + b"DICM" + bytes(64), "format_not_allowed", "DICOM"),
        (encode(Image.effect_noise((90, 90), 60))[:-2000], "truncated", "send the file again"),
        (encode(Image.new("RGB", (101, 100))), "too_many_pixels", "101 x 100; at most 10,000 pixels"),
    ],
)
def test_decode__refuses_with_a_reason(data: bytes, reason: str, sentence: str) -> None:
    with pytest.raises(UndecodableImage, match=sentence) as caught:
        decode(data, pixel_cap=10_000)
    assert Reason(caught.value.reason) == reason


def test_decode__refuses_a_bomb_before_it_unfolds() -> None:
    header = bytearray(encode(Image.new("1", (8, 8))))
    header[16:24] = (30_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(UndecodableImage, match="pixels") as caught:
        decode(bytes(header))
    assert caught.value.reason == Reason.TOO_MANY_PIXELS


def test_decode__takes_the_first_picture_of_a_phones_multi_picture_jpeg(corner: Image.Image) -> None:
    data = encode(corner, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48), "red")])
    assert np.abs(np.asarray(decode(data), dtype=int) - np.asarray(corner, dtype=int)).mean() < 3


def test_decode__lays_transparent_pixels_on_white() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    assert (np.asarray(decode(encode(clear))) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    assert (np.asarray(decode(encode(palette, transparency=0))) == 255).all()


def test_decode__scales_sixteen_bits_to_eight() -> None:
    deep = Image.fromarray(np.full((8, 8), 257 * 100, dtype=np.uint16))
    assert (np.asarray(decode(encode(deep))) == 100).all()


def test_decode__converts_from_the_colour_profile() -> None:
    grey = decode(encode(Image.new("RGB", (8, 8), (90, 90, 90)), icc_profile=linear_profile()))
    assert np.asarray(grey).min() > 130, "90 in a linear profile is much brighter in sRGB"


def linear_profile() -> bytes:
    """sRGB's primaries with a straight curve instead of sRGB's: every response curve tag is replaced by gamma 1."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    for at in range(132, 132 + 12 * count, 12):
        if bytes(data[at : at + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            start = int.from_bytes(data[at + 4 : at + 8], "big")
            data[start : start + 12] = b"curv" + bytes(4) + bytes(4)  # no entries: the identity
            data[at + 8 : at + 12] = (12).to_bytes(4, "big")
    return bytes(data).replace("sRGB".encode("utf-16-be"), "flat".encode("utf-16-be")).replace(b"sRGB", b"flat")


def test_decode__takes_a_damaged_profile_for_none(corner: Image.Image) -> None:
    assert (np.asarray(decode(encode(corner, icc_profile=b"no profile" * 30))) == np.asarray(corner)).all()


def test_decode__never_raises_anything_else() -> None:
    """Flipped and missing bytes anywhere in the file end as an image or as a refusal."""
    noise = Image.fromarray((np.random.default_rng(0).random((24, 32, 3)) * 255).astype(np.uint8))
    seeds = [encode(noise, "JPEG", exif=exif(6)), encode(noise, "JPEG", progressive=True), encode(noise, exif=exif(6))]
    chance, outcomes = random.Random(0), set()
    for _ in range(1500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice([1, 3, 9])):
            data[chance.randrange(min(len(data), chance.choice([120, 400, len(data)])))] = chance.randrange(256)
        try:
            decode(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
            outcomes.add("image")
        except UndecodableImage as error:
            outcomes.add(Reason(error.reason).value)
    assert {"image", "truncated", "not_an_image"} <= outcomes


def test_prepare__shape_and_order() -> None:
    image = Image.new("RGB", (90, 60), (10, 20, 30))
    prepared = prepare(image, Preprocessing(size=32, resize=36))
    assert prepared.shape == (3, 32, 32)
    assert [int(channel.mean()) for channel in prepared] == [10, 20, 30]


def test_prepare__narrow_image_still_fills_the_square() -> None:
    assert prepare(Image.new("RGB", (400, 2)), Preprocessing(size=32, resize=32)).shape == (3, 32, 32)


def test_prepare_bytes__equals_decode_and_prepare(corner: Image.Image) -> None:
    spec = Preprocessing(size=16, resize=20)
    assert (prepare_bytes(encode(corner), spec) == prepare(decode(encode(corner)), spec)).all()


@pytest.mark.parametrize("change", [lambda text: text, lambda text: text.replace("224", "192")])
def test_preprocessing__survives_json(change: Callable[[str], str]) -> None:
    text = change(Preprocessing().to_json())
    assert Preprocessing.from_json(text).to_json() == text


def test_preprocessing__refuses_a_key_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="gamma"):
        Preprocessing.from_json('{"gamma": 2, "mean": [0, 0, 0], "std": [1, 1, 1]}')
