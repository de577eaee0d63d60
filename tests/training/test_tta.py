from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from panderm.imaging.preprocessing import Preprocessing, UndecodableImage, prepare_bytes
from panderm.training import tta
from panderm.training.tta import random_views

SPEC = Preprocessing(size=24, resize=28)


def file(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def noise(seed: int) -> bytes:
    return file(np.random.default_rng(seed).integers(0, 256, (30, 36, 3)))


def test_random_views__hang_on_bytes_seed_and_number_alone() -> None:
    one, other = noise(0), noise(1)
    views = random_views(one, SPEC, 5, seed=0)
    assert views.shape == (5, 3, 24, 24)
    assert views.dtype == np.uint8
    random_views(other, SPEC, 3, seed=0)
    assert (random_views(one, SPEC, 5, seed=0) == views).all()
    assert (random_views(one, SPEC, 2, seed=0) == views[:2]).all(), "more views must not change the first"
    assert len({view.tobytes() for view in views}) > 1
    assert (random_views(one, SPEC, 5, seed=1) != views).any()


@pytest.mark.parametrize(("size", "resize"), [(224, 246), (112, 123), (32, 35)])
def test_random_views__crop_is_the_published_one_at_every_size(size: int, resize: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FLIP", "_ROTATION", "_JITTER"):
        monkeypatch.setattr(tta, name, 0.0)
    image = noise(2)
    expected = prepare_bytes(image, Preprocessing(size=size, resize=resize))
    assert (random_views(image, Preprocessing(size=size, resize=2 * size), 1, seed=0)[0] == expected).all()


def test_random_views__are_as_frequent_as_published() -> None:
    """A grey left half, dark above: where grey is says the flips, black corners the rotation."""
    half = np.full((24, 24, 3), 255)
    half[:, :12] = 200
    half[:12, :12] = 100
    views = random_views(file(half), SPEC, 2000, seed=0).transpose(0, 2, 3, 1).astype(int)
    rotated = (views.min(axis=3)[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).any(axis=1)
    assert 0.24 < rotated.mean() < 0.33  # 0.3, less small and right angles, which leave the corners
    upright = views[~rotated]
    white = upright.min(axis=3) == 255
    assert 0.46 < white[:, :, 2].all(axis=1).mean() < 0.56  # right to left; a few are turned by a right angle
    dark = upright[:, 3].max(axis=2).min(axis=1) < 130
    assert 0.44 < dark.mean() < 0.56


def test_random_views__jitter_changes_hue_and_saturation_within_a_quarter() -> None:
    flat = file(np.full((24, 24, 3), (200, 120, 120)))
    views = random_views(flat, SPEC, 1000, seed=0)[:, :, 12, 12]
    assert 0.26 < (views != (200, 120, 120)).any(axis=1).mean() < 0.34  # 0.3
    hsv = np.array([np.asarray(Image.new("RGB", (1, 1), tuple(map(int, rgb))).convert("HSV"))[0, 0] for rgb in views]).astype(
        int
    )
    hue = (hsv[:, 0] + 128) % 256 - 128
    assert 48 < np.abs(hue).max() <= 66  # 0.25 of 256
    saturation = hsv[:, 1] / 102  # 255 * (200 - 120) / 200
    assert 0.7 < saturation.min() < 0.85
    assert 1.15 < saturation.max() < 1.35


def test_random_views__what_is_no_image_is_told() -> None:
    with pytest.raises(UndecodableImage, match="not an image"):
        random_views(b"x", SPEC, 5, seed=0)
