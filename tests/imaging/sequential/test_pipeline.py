from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panderm.imaging.sequential.lesion import lesion_mask
from panderm.imaging.sequential.pipeline import Aligned, align, pictures
from panderm.imaging.sequential.registration import register
from panderm.imaging.sequential.settings import ARMS, AlignSettings
from panderm.imaging.sequential.sheet import write_steps
from panderm.twins.picture import Picture, draw

SETTINGS = AlignSettings(side=256)


def photo(subject: str, view: str = "view0", device: int = 1) -> Image.Image:
    return draw(Picture("dermoscopic", "nv", subject, view, 1, device, (224, 168)))


@pytest.fixture(scope="module")
def turned() -> tuple[Image.Image, Image.Image]:
    """A lesion, and the same picture turned by seven degrees about its middle."""
    first = photo("a lesion")
    return first, first.rotate(7, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pair(turned: tuple[Image.Image, Image.Image]) -> Aligned:
    return align(*turned, SETTINGS)


def test_register__finds_a_known_turn(pair: Aligned) -> None:
    found = pair.registration
    assert found.found
    assert abs(found.angle) == pytest.approx(7, abs=0.6)
    matrix = found.matrix
    assert matrix is not None
    middle = np.array([pair.first.original.shape[1] / 2, pair.first.original.shape[0] / 2, 1])
    assert (matrix @ middle)[:2] == pytest.approx(middle[:2], abs=2)


def test_register__two_lesions_have_no_movement_in_common() -> None:
    found = align(photo("a lesion"), photo("another lesion"), SETTINGS).registration
    assert not found.found
    assert found.agreeing.sum() < SETTINGS.agreeing
    assert np.isnan(found.angle)


def test_register__an_image_without_a_point_is_no_error() -> None:
    blank = np.full((64, 64, 3), 200, dtype=np.uint8)
    assert not register(blank, blank, SETTINGS).found


def test_align__equal_images_give_equal_answers(turned: tuple[Image.Image, Image.Image], pair: Aligned) -> None:
    again = align(*turned, SETTINGS)
    assert np.array_equal(again.registration.matrix, pair.registration.matrix)
    for arm in ARMS:
        assert all((a == b).all() for a, b in zip(pictures(again, arm), pictures(pair, arm), strict=True))


def test_pictures__each_arm_shows_what_its_name_says(pair: Aligned) -> None:
    first, second = pair.first.original, pair.second.original
    assert (pictures(pair, "default")[1] == second).all()
    warped, masked, whole = (pictures(pair, arm) for arm in ("warp", "mask", "whole"))
    middle = (slice(60, 130), slice(80, 176))
    before = np.abs(first[middle].astype(int) - second[middle]).mean()
    after = np.abs(first[middle].astype(int) - warped[1][middle]).mean()
    assert after < before / 2, "the registered images are closer to each other"
    lesion = pair.second.lesion
    assert lesion is not None
    assert (masked[1][~lesion] == 0).all()
    assert (masked[1][lesion] == second[lesion]).all()
    assert ((whole[0] == 0).all(axis=2) == (whole[1] == 0).all(axis=2)).mean() > 0.99, "both keep the same part"


def test_pictures__an_unregistered_pair_is_shown_each_in_its_own_frame() -> None:
    strangers = align(photo("a lesion"), photo("another lesion"), SETTINGS)
    assert (pictures(strangers, "warp")[1] == strangers.second.original).all()
    assert pictures(strangers, "whole")[1].any()


def test_lesion_mask__finds_a_disc_and_refuses_bare_skin() -> None:
    image = np.full((96, 128, 3), (215, 170, 150), dtype=np.uint8)
    assert lesion_mask(image, AlignSettings(side=128)) is None
    y, x = np.mgrid[:96, :128]
    disc = (y - 50) ** 2 + (x - 60) ** 2 < 20**2
    image[disc] = (110, 70, 50)
    found = lesion_mask(image, AlignSettings(side=128, mask_margin=0))
    assert found is not None
    assert (found & disc).sum() / (found | disc).sum() > 0.9


def test_write_steps__writes_every_step_the_arms_a_sheet_and_the_facts(pair: Aligned, tmp_path: Path) -> None:
    write_steps(tmp_path / "once", pair, SETTINGS)
    write_steps(tmp_path / "twice", pair, SETTINGS)
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert len(names) == 2 * 6 + 2 * len(ARMS) + 2
    assert {"a_1_original.png", "b_4_registered.png", "arm_whole_b.png", "contact.png"} <= set(names)
    for name in names:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    facts = json.loads((tmp_path / "once" / "align.json").read_text())
    assert facts["registered"] is True
    assert facts["settings"]["akaze_threshold"] == 9e-5


def test_align__a_single_row_of_pixels_is_no_registration() -> None:
    line = Image.new("RGB", (20_000, 10))  # brought to 512 x 1
    assert not align(photo("a lesion"), line, AlignSettings()).registration.found
