from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from panderm.training.crops import draw_box, render
from panderm.training.recipe import Augmentation

WHOLE = Augmentation(crop_min=1, crop_max=1, flip=0)


def ramp(width: int, height: int, form: str = "PNG") -> bytes:
    across = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    stream = io.BytesIO()
    Image.fromarray(across.astype(np.uint8)).save(stream, form, quality=95)
    return stream.getvalue()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_draw_box__stays_inside_with_the_asked_area_and_ratio() -> None:
    augmentation = Augmentation(crop_min=0.4, crop_max=0.8)
    boxes = [draw_box(600, 450, augmentation, rng(seed)) for seed in range(300)]
    for box in boxes:
        assert 0 <= box.left <= box.left + box.width <= 600
        assert 0 <= box.top <= box.top + box.height <= 450
        assert 0.39 < box.width * box.height / (600 * 450) < 0.81
        assert 0.74 < box.width / box.height < 1.35
    assert len({box.left for box in boxes}) > 50


def test_draw_box__a_strip_falls_back_to_its_centre() -> None:
    assert draw_box(1000, 30, WHOLE, rng()) == (480, 0, 40, 30)


def test_render__both_sizes_show_the_same_crop() -> None:
    large, small = render(ramp(300, 200), (64, 32), Augmentation(), rng(4))
    assert large.shape == (3, 64, 64)
    assert small.shape == (3, 32, 32)
    halved = large.reshape(3, 32, 2, 32, 2).astype(float).mean((2, 4))
    assert np.abs(halved - small).max() < 4


def test_render__flips_left_and_right() -> None:
    plain = render(ramp(64, 64), (32,), WHOLE, rng())[0]
    flipped = render(ramp(64, 64), (32,), WHOLE.model_copy(update={"flip": 1.0}), rng())[0]
    assert plain[0, 0, 0] < plain[0, 0, -1]
    assert np.array_equal(plain[:, :, ::-1], flipped)


def test_render__reduced_decoding_of_large_photographs_shows_the_same() -> None:
    """A JPEG four times as large as needed is decoded at a quarter; a PNG of it is decoded in full."""
    augmentation = Augmentation(crop_min=0.5, crop_max=0.9)
    reduced = render(ramp(1024, 1024, "JPEG"), (96,), augmentation, rng(7))[0]
    full = render(ramp(1024, 1024, "PNG"), (96,), augmentation, rng(7))[0]
    assert np.abs(reduced.astype(int) - full.astype(int)).max() <= 3


def picture(width: int, height: int, form: str, **settings: object) -> bytes:
    colours = rng().integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC).save(stream, form, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_render__is_within_two_levels_of_pillow(form: str, interpolation: str) -> None:
    data = picture(320, 240, form)
    augmentation = WHOLE.model_copy(update={"crop_min": 0.6, "interpolation": interpolation})
    ours = render(data, (96, 200), augmentation, rng(3))
    box = draw_box(320, 240, augmentation, rng(3))
    resampling = Image.Resampling[interpolation.upper()]
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    for square in ours:
        theirs = Image.open(io.BytesIO(data)).convert("RGB").crop(corners).resize(square.shape[1:], resampling)
        assert np.abs(square.astype(int) - np.asarray(theirs).transpose(2, 0, 1)).max() <= 2


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_render__a_part_of_a_file_is_refused(form: str) -> None:
    data = picture(320, 240, form)
    with pytest.raises(OSError, match=r"^image file is truncated|^Out of bound read"):
        render(data[: len(data) // 2], (96,), WHOLE, rng())


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_render__jitter_changes_colours_only_when_asked(jitter: float) -> None:
    augmentation = WHOLE.model_copy(update={"jitter": jitter})
    means = {render(ramp(64, 64), (32,), augmentation, rng(seed))[0].mean() for seed in range(5)}
    assert (len(means) > 1) == bool(jitter)
