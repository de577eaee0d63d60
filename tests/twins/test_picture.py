from __future__ import annotations

import io
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from panderm.twins.eruption import ERUPTIONS
from panderm.twins.lesion import KINDS
from panderm.twins.picture import Kind, Picture, draw, encode, lesion_mask
from panderm.twins.tissue import TISSUES

ALL = [
    *((kind, shows) for kind in ("dermoscopic", "clinical", "tbp") for shows in KINDS),
    *(("clinical", shows) for shows in ERUPTIONS),
    *(("dermatopathology", shows) for shows in TISSUES),
]


@pytest.mark.parametrize(("kind", "shows"), ALL)
def test_draw__every_kind_and_tone_gives_a_picture_with_contrast(kind: Kind, shows: str) -> None:
    for tone in (0, 5):
        image = draw(Picture(kind, shows, f"s{tone}", "v", tone=tone, size=(100, 80)))
        assert image.size == (100, 80)
        assert image.mode == "RGB"
        assert np.asarray(image).std() > 3


def test_kinds__are_all_drawn() -> None:
    assert {kind for kind, _ in ALL} == set(get_args(Kind))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_encode__same_value_same_bytes_and_no_tag(form: str) -> None:
    picture = Picture("dermoscopic", "mel", "a", "1", size=(96, 72), form=form)  # type: ignore[arg-type]
    assert encode(picture) == encode(picture)
    opened = Image.open(io.BytesIO(encode(picture)))
    assert opened.format == form
    assert not opened.getexif()
    assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_draw__a_lesion_is_recognised_on_another_day() -> None:
    def seen(subject: str, view: str) -> np.ndarray:
        grey = draw(Picture("tbp", "nv", subject, view, size=(96, 96))).convert("L").resize((24, 24))
        values = np.asarray(grey, dtype=float).ravel()
        return (values - values.mean()) / values.std()

    again, other = [], []
    for number in range(6):
        first = seen(f"s{number}", "1")
        again.append(float((first * seen(f"s{number}", "2")).mean()))
        other.append(float((first * seen(f"s{number + 50}", "1")).mean()))
    assert np.mean(again) > np.mean(other) + 0.1


def test_draw__classes_differ_more_than_by_chance() -> None:
    """A nearest mean on crude colours tells naevi from vascular lesions: labels can be learnt."""

    def redness(shows: str, number: int) -> float:
        centre = np.asarray(draw(Picture("dermoscopic", shows, f"s{number}", "v", size=(96, 72))), dtype=float)[26:46, 38:58]
        return float((centre[..., 0] / (centre[..., 1] + 1)).mean())

    naevi, vascular = [redness("nv", n) for n in range(12)], [redness("vasc", n) for n in range(12)]
    assert np.median(vascular) > np.median(naevi) * 1.3


@pytest.mark.parametrize("kind", ["dermoscopic", "clinical", "tbp"])
def test_lesion_mask__lies_where_the_lesion_was_drawn(kind: Kind) -> None:
    for number in range(4):
        picture = Picture(kind, "mel", f"s{number}", "v", size=(120, 90))
        mask = np.asarray(lesion_mask(picture))
        assert mask.shape == (90, 120)
        assert set(np.unique(mask)) == {0, 255}
        seen = np.asarray(draw(picture), dtype=float)
        inside, far = seen[mask == 255].mean(), seen[20:70][mask[20:70] == 0].mean()
        assert inside < far - 12, "a melanoma is darker than the skin around it"
    turned = lesion_mask(picture._replace(view="another day"))
    assert 0 < np.mean(np.asarray(turned) != mask) < 0.2, "the same lesion, seen at another angle"
