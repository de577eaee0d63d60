from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.core.errors import InputError
from panderm.imaging import masks
from panderm.imaging.masks import as_png, cleaned, load_pairs, marked, overlap, overlay_png, squeezed, unsqueezed
from panderm.imaging.preprocessing import Preprocessing, prepare
from panderm.imaging.shards import ShardWriter


def square(left: int, right: int) -> np.ndarray:
    mask = np.zeros((10, 10), dtype=bool)
    mask[left:right, left:right] = True
    return mask


def test_cleaned__keeps_the_largest_piece_and_fills_its_holes() -> None:
    mask = square(2, 9)
    mask[5, 5] = False
    mask[0, 0] = True
    np.testing.assert_array_equal(cleaned(mask), square(2, 9))
    assert not cleaned(np.zeros((4, 4), dtype=bool)).any()


def test_overlap__dice_and_jaccard() -> None:
    dice, jaccard = overlap(square(0, 4), square(2, 6))  # 16 and 16 pixels, 4 of them common
    assert dice == pytest.approx(8 / 32)
    assert jaccard == pytest.approx(4 / 28)
    assert overlap(square(0, 0), square(0, 0)) == (1.0, 1.0)
    assert overlap(square(0, 4), square(5, 9)) == (0.0, 0.0)


def stored(folder: Path, masks: list[np.ndarray]) -> pd.DataFrame:
    """Store masks (H, W) as pictures and as the masks of these pictures; return the rows of their split."""
    rows = []
    with ShardWriter(folder / "shard.tar") as writer:
        for number, mask in enumerate(masks):
            stream = io.BytesIO()
            Image.fromarray(255 * mask.astype(np.uint8)).save(stream, "PNG")
            places = [writer.add(f"{kind}{number}", "png", stream.getvalue(), {}) for kind in "im"]
            row = {"image_id": f"i{number}", "shard": "shard.tar", "mask_shard": "shard.tar"}
            row |= {"offset": places[0].offset, "nbytes": places[0].nbytes}
            rows.append(row | {"mask_offset": places[1].offset, "mask_nbytes": places[1].nbytes})
    return pd.DataFrame(rows)


def test_load_pairs__a_mask_that_falls_between_the_pixels_is_where_most_of_it_is(tmp_path: Path) -> None:
    small, large = np.zeros((200, 300), dtype=bool), np.zeros((200, 300), dtype=bool)
    small[41:43, 92] = True  # of 16 x 16 pixels each stands for 18.75 x 12.5; none of their middles is here
    large[20:150, 40:200] = True
    _, masks = load_pairs(stored(tmp_path, [small, large]), tmp_path, Preprocessing(size=16))
    assert list(zip(*np.nonzero(masks[0]), strict=True)) == [(3, 4)]
    nearest = Image.fromarray(large).resize((16, 16), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(masks[1], np.asarray(nearest), err_msg="others are as the public code squeezes them")


def test_load_pairs__an_empty_mask_names_its_image(tmp_path: Path) -> None:
    rows = stored(tmp_path, [square(2, 9), square(0, 0)])
    with pytest.raises(InputError, match="the mask of i1 marks no pixel; deliver its mask again"):
        load_pairs(rows, tmp_path, Preprocessing(size=8))


def test_load_pairs__a_damaged_picture_names_its_image(tmp_path: Path) -> None:
    rows = stored(tmp_path, [square(2, 9)])
    with pytest.raises(InputError, match=r"i0 in shard.tar cannot be read \(.*\); publish its dataset again"):
        load_pairs(rows.assign(nbytes=40), tmp_path, Preprocessing(size=8))


def test_squeezed__takes_the_whole_picture_as_the_public_code_does() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    expected = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_array_equal(prepare(picture, squeezed(Preprocessing(size=32, resize=36))), expected)
    assert squeezed(squeezed(Preprocessing())) == squeezed(Preprocessing())


def test_marked__is_the_likelier_class_cleaned() -> None:
    probabilities = np.where(square(2, 9), 0.51, 0.5).astype(np.float32)
    probabilities[0, 0] = 0.9
    np.testing.assert_array_equal(marked(probabilities), square(2, 9))


@pytest.mark.parametrize(("width", "height"), [(10, 10), (31, 17), (640, 480), (12, 700)])
def test_unsqueezed__gives_the_very_mask_back_when_squeezed_again(tmp_path: Path, width: int, height: int) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((10, 10)) < 0.4
    whole = unsqueezed(mask, width, height)
    assert whole.shape == (height, width)
    _, again = load_pairs(stored(tmp_path, [whole]), tmp_path, Preprocessing(size=10))
    np.testing.assert_array_equal(again[0], mask)


def test_as_png__holds_the_mask_and_the_overlay_its_edge_alone() -> None:
    mask = square(2, 9)
    file = Image.open(io.BytesIO(as_png(mask)))
    assert (file.mode, file.size) == ("L", (10, 10))
    np.testing.assert_array_equal(np.asarray(file), 255 * mask.astype(np.uint8))
    drawn = np.asarray(Image.open(io.BytesIO(overlay_png(Image.new("RGB", (10, 10)), mask)))).any(axis=2)
    np.testing.assert_array_equal(drawn, mask & ~square(3, 8))


def test_open__a_damaged_chunk_is_told_in_a_sentence() -> None:
    """Pillow's word for it is a SyntaxError."""
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "PNG", compress_level=0)
    data = bytearray(stream.getvalue())
    data[33:37] = (100).to_bytes(4, "big")  # the length of the pixels' chunk, so that the next one's name is no name
    reader = SimpleNamespace(read=lambda *_: bytes(data))
    with pytest.raises(InputError, match=r"a_mask in s\.tar cannot be read"):
        masks._open(reader, "a_mask", "s.tar", 0, len(data))  # type: ignore[arg-type]
