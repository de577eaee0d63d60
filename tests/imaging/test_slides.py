"""Slides as containers of tiles: what is found, at which scale it is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panderm.core.reasons import Reason
from panderm.imaging import members
from panderm.imaging.members import BadMember, member_names, read_member
from panderm.imaging.slides import Place, Slide, parse_name, tile_names
from panderm.imaging.tissue import SIDE, tile_shares, tissue_mask
from panderm.twins.slides import aperio

CAP = 10**9
PINK, GLASS = (205, 110, 160), (243, 243, 242)


def picture(columns: int = 5, rows: int = 4, scale: int = 1) -> Image.Image:
    """Glass with tissue on tiles (1, 1), (2, 1), (1, 2) and half of (3, 1); tile (1, 1) is greener than the others."""
    side = 256 * scale
    drawn = Image.new("RGB", (columns * side + 40, rows * side + 40), GLASS)
    for box, colour in (((1, 1, 3.5, 2), PINK), ((1, 2, 2, 3), PINK), ((1, 1, 2, 2), (160, 190, 160))):
        drawn.paste(colour, tuple(round(edge * side) for edge in box))
    return drawn


def write(folder: Path, power: int | None = 20, scale: int = 1) -> Path:
    path = folder / f"slide{scale}.svs"
    path.write_bytes(aperio(picture(scale=scale), power))
    return path


def test_tile_names__are_the_tiles_with_tissue_in_pixels_of_the_slide(tmp_path: Path) -> None:
    assert tile_names(write(tmp_path)) == ["256_256_256", "256_512_256", "512_256_256", "768_256_256"]
    assert tile_names(write(tmp_path, 40, 2)) == ["1024_512_512", "1536_512_512", "512_1024_512", "512_512_512"]


def test_read_member__brings_every_slide_to_the_same_tiles(tmp_path: Path) -> None:
    fine, coarse = write(tmp_path, 40, 2), write(tmp_path)
    for at_40, at_20 in (("512_512_512", "256_256_256"), ("1536_512_512", "768_256_256")):
        one, other = read_member(fine, at_40, CAP).image, read_member(coarse, at_20, CAP).image
        assert one is not None
        assert other is not None
        assert one.size == other.size == (256, 256)
        assert np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).mean() < 0.5
    image = read_member(coarse, "256_256_256", CAP).image
    assert image is not None
    assert image.getpixel((128, 128)) == (160, 190, 160)


def test_overview__is_the_same_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = Slide(write(tmp_path))
    whole = slide.overview(256)
    monkeypatch.setattr("panderm.imaging.slides._BLOCK", 300)
    assert (slide.overview(256) == whole).all()
    assert whole.shape == (4 * SIDE, 5 * SIDE, 3)


def test_names__of_a_slide_that_does_not_say_its_power(tmp_path: Path) -> None:
    path = write(tmp_path, None, 2)
    with pytest.raises(
        BadMember, match=r"slide2.svs says neither at which power .*; say it in the column objective_power"
    ) as caught:
        member_names(path)
    assert caught.value.reason == Reason.BAD_VALUE
    assert "512_512_512" in tile_names(path, 40)
    with pytest.raises(BadMember, match=r"was scanned at 10 x; tiles are made at 20 x of slides from 18 x to 100 x"):
        tile_names(path, 10)


def test_names__refuse_what_is_no_slide_and_what_is_empty(tmp_path: Path) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"II*\x00 no slide")
    with pytest.raises(BadMember, match=r"broken.svs is not a readable slide; copy it again") as caught:
        member_names(broken)
    assert caught.value.reason == Reason.TRUNCATED
    for size, sentence, reason in (
        ((600, 600), "shows no tissue", Reason.OUT_OF_SCOPE),
        ((200, 600), "has 200 x 600 pixels; 1 to 1,000,000 tiles of 256 pixels are cut", Reason.BAD_VALUE),
    ):
        broken.write_bytes(aperio(Image.new("RGB", size, GLASS), 20))
        with pytest.raises(BadMember, match=sentence) as caught:
            member_names(broken)
        assert caught.value.reason == reason
    with pytest.raises(FileNotFoundError):
        member_names(tmp_path / "gone.svs")


@pytest.mark.parametrize("name", ["256_256", "1280_256_256", "0_0_0", "0_0_9999", "-1_0_256", "x", "0_0_256/.."])
def test_read_member__only_tiles_that_lie_on_the_slide(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadMember, match=r"slide1.svs has no tile"):
        read_member(write(tmp_path), name, CAP)
    with pytest.raises(BadMember, match="a tile has 196,608 bytes; at most 1,000 are read"):
        read_member(write(tmp_path), "0_0_256", 1000)


def test_read_member__one_damaged_tile_leaves_the_others_readable(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    drawn = picture()
    drawn.paste(Image.fromarray(noise), (256, 256))
    data = bytearray(aperio(drawn, 20))
    raw = bytes(data)
    place = raw.index(max(raw.split(b"\x78\xda"), key=len))  # the compressed noise is the longest of the parts
    data[place + 5000 : place + 9000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(BadMember, match=r"slide1.svs is damaged at 256, 256"):
        read_member(path, "256_256_256", CAP)
    assert read_member(path, "512_256_256", CAP).image is not None


def test_parse_name__is_the_way_back() -> None:
    assert parse_name(Place(512, 1024, 256).name) == Place(512, 1024, 256)
    assert parse_name("512_1024") is None
    assert members.split("a/b.svs#512_1024_256") == ("a/b.svs", "512_1024_256")


def test_tissue_mask__drops_dust_and_fills_small_holes() -> None:
    canvas = np.full((20 * SIDE, 20 * SIDE, 3), GLASS, dtype=np.uint8)
    canvas[40:120, 40:120] = PINK
    canvas[60:66, 60:66] = GLASS
    canvas[80:110, 80:110] = GLASS
    canvas[4:9, 4:9] = PINK
    mask = tissue_mask(canvas)
    assert not mask[:20, :20].any(), "dust"
    assert mask[63, 63], "a hole smaller than a tile"
    assert not mask[95, 95], "a hole larger than a tile"
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 119, 40, 119), "the mask lies where the tissue is"
    shares = tile_shares(mask)
    assert shares.shape == (20, 20)
    assert (shares[0, 0], shares[6, 6], shares[11, 11]) == (0, 1, 0)
