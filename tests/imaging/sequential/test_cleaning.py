from __future__ import annotations

import numpy as np
import pytest

from panderm.imaging.sequential.cleaning import remove_corners, remove_hair
from panderm.imaging.sequential.settings import AlignSettings

SETTINGS = AlignSettings(side=128)
SKIN = (215, 170, 150)


def skin(height: int = 96, width: int = 128) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-4, 5, (height, width, 3))
    return (np.array(SKIN) + noise).astype(np.uint8)


def through_a_dermatoscope(radius: float) -> np.ndarray:
    picture = skin()
    y, x = np.mgrid[:96, :128]
    picture[(y - 48) ** 2 + (x - 64) ** 2 > radius**2] = 12
    return picture


def test_remove_corners__outside_of_the_shrunk_circle_is_skin() -> None:
    image = through_a_dermatoscope(60)
    cleaned, outside = remove_corners(image, SETTINGS)
    y, x = np.mgrid[:96, :128]
    distance = np.hypot(y - 48, x - 64)
    assert not outside[distance < 0.8 * 60 - 3].any()
    assert outside[distance > 0.8 * 60 + 3].all()
    assert np.abs(cleaned[0, 0].astype(int) - SKIN).max() < 8, "the corner has the colour of the skin"
    assert (cleaned[~outside] == image[~outside]).all(), "the field itself is untouched"


@pytest.mark.parametrize("image", [skin(), np.full((96, 128, 3), 70, dtype=np.uint8)], ids=["no dark corner", "dark skin"])
def test_remove_corners__leaves_an_image_without_a_field_as_it_is(image: np.ndarray) -> None:
    cleaned, outside = remove_corners(image, SETTINGS)
    assert not outside.any()
    assert (cleaned == image).all()


def test_remove_hair__takes_a_hair_and_leaves_a_dot() -> None:
    image = skin()
    image[20:23, 10:110] = 30  # a hair
    image[60:64, 60:64] = 30  # a dot of pigment
    cleaned, hair = remove_hair(image, SETTINGS)
    assert hair[21, 20:100].all()
    assert cleaned[21, 60].min() > 120
    assert not hair[58:66, 58:66].any()
    assert (cleaned[60:64, 60:64] == 30).all()


def test_remove_hair__a_bald_image_stays_as_it_is() -> None:
    image = skin()
    cleaned, hair = remove_hair(image, SETTINGS)
    assert not hair.any()
    assert (cleaned == image).all()
