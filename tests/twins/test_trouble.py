from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from panderm.core.reasons import Reason
from panderm.imaging.preprocessing import UndecodableImage, decode
from panderm.twins.picture import Picture, draw
from panderm.twins.trouble import BOMB_SIDE, CANARIES, SPOILERS, TROUBLE, spoil

PICTURE = Picture("clinical", "bcc", "s", "v", size=(96, 72))
DOCS = Path(__file__).parents[2] / "docs" / "deliveries.md"


@pytest.mark.parametrize("how", ["truncated", "text", "bomb"])
def test_spoil__is_refused_for_the_stated_reason(how: str) -> None:
    stated = next(one.outcome for one in TROUBLE if one.key == how)
    with pytest.raises(UndecodableImage, match=r".") as caught:
        decode(spoil(how, PICTURE))
    assert caught.value.reason == stated


def test_bomb__is_small_and_a_whole_png_of_its_size() -> None:
    data = spoil("bomb", PICTURE)
    assert len(data) < 200_000
    assert data.endswith(b"IEND\xaeB`\x82")
    with pytest.raises(Image.DecompressionBombError, match=f"{BOMB_SIDE**2} pixels"):
        Image.open(io.BytesIO(data))


def test_tagged__holds_every_canary_and_lies_on_its_side() -> None:
    data = spoil("tagged", PICTURE)
    for channel in CANARIES.keys() - {"png_text"}:
        assert CANARIES[channel].encode() in data, channel
    opened = Image.open(io.BytesIO(data))
    assert opened.getexif()[0x0112] == 6
    assert opened.size == (72, 96)
    upright = decode(data)
    assert upright.size == (96, 72)
    difference = [
        abs(a - b) for a, b in zip(upright.resize((8, 6)).tobytes(), draw(PICTURE).resize((8, 6)).tobytes(), strict=True)
    ]
    assert max(difference) < 12, "turned the right way round"


def test_tagged_png__holds_its_canary() -> None:
    assert spoil("tagged_png", PICTURE).count(CANARIES["png_text"].encode()) == 2


def test_trouble__outcomes_are_reasons_or_words() -> None:
    assert len({one.key for one in TROUBLE}) == len(TROUBLE)
    assert set(SPOILERS) - {"mask"} <= {one.key for one in TROUBLE}, "a right mask is no trouble"
    codes = {reason.value for reason in Reason}
    assert all(one.outcome in codes or " " in one.outcome or one.outcome == "read" for one in TROUBLE)


def test_docs__show_the_table_as_it_is() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    for one in TROUBLE:
        assert f"| `{one.key}` | {one.what} | {one.where} | {one.outcome} |" in rows
