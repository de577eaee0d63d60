"""A picture as a value: what it shows, of whom, how it was taken, how it is stored; :func:`encode` makes the file."""

from __future__ import annotations

import io
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from panderm.twins import eruption, lesion, tissue
from panderm.twins.canvas import Colours, Rng, seed_of, to_colours, to_image
from panderm.twins.skin import camera, dermatoscope, hair, pen_mark, skin

Kind = Literal["dermoscopic", "clinical", "tbp", "dermatopathology"]
Form = Literal["JPEG", "PNG", "BMP"]


class Picture(NamedTuple):
    """Everything a drawn file depends on.

    Attributes:
        kind: modality.
        shows: a key of ``lesion.KINDS``, ``eruption.ERUPTIONS`` or ``tissue.TISSUES``.
        subject: name of what is photographed: same name, same skin and same lesion.
        view: name of the occasion: angle, light, hair, exposure.
        tone: Fitzpatrick type, 0 for I to 5 for VI.
        device: number of the camera, dermatoscope or laboratory.
        size: width, height in pixels.
        form: stored format.
        quality: of a JPEG, 1..95.
    """

    kind: Kind
    shows: str
    subject: str
    view: str
    tone: int = 1
    device: int = 0
    size: tuple[int, int] = (224, 168)
    form: Form = "JPEG"
    quality: int = 88


def draw(picture: Picture) -> Image.Image:
    """Return the picture as an 8-bit RGB image of its size."""
    what = np.random.default_rng(seed_of("subject", picture.subject, picture.kind))
    how = np.random.default_rng(seed_of("view", picture.subject, picture.view))
    width, height = picture.size
    if picture.kind == "dermatopathology":
        stain = np.random.default_rng(seed_of("laboratory", picture.device))
        return to_image(tissue.draw(what, (height, width), picture.shows, stain))
    scene = _scene(what, picture, (round(height * _MARGIN), round(width * _MARGIN)))
    photo = to_colours(_framed(how, to_image(scene), picture.size))
    return to_image(_LENSES[picture.kind](how, photo, picture.device))


def lesion_mask(picture: Picture) -> Image.Image:
    """Return where the lesion of :func:`draw` lies: mode L, 255 inside its outline, 0 outside."""
    what = np.random.default_rng(seed_of("subject", picture.subject, picture.kind))
    how = np.random.default_rng(seed_of("view", picture.subject, picture.view))
    width, height = picture.size
    shape = (round(height * _MARGIN), round(width * _MARGIN))
    factors = _on_skin(what, picture, shape)[1]
    inside = np.where(lesion.outline(what, shape, factors) < 1.0, 255, 0).astype(np.uint8)
    matrix = _view(how, (shape[1], shape[0]), picture.size)
    return Image.fromarray(inside).transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def encode(picture: Picture) -> bytes:
    """Return the picture as a JPEG, PNG or BMP file without any tag."""
    file = io.BytesIO()
    image = draw(picture)
    if picture.form == "JPEG":
        image.save(file, "JPEG", quality=picture.quality)
    elif picture.form == "BMP":
        image.save(file, "BMP")
    else:
        image.save(file, "PNG", compress_level=3)
    return file.getvalue()


_MARGIN = 1.19
"""The scene is drawn that much larger than the photo, so that a turned view stays on skin."""


def _scene(rng: Rng, picture: Picture, shape: tuple[int, int]) -> Colours:
    base, factors = _on_skin(rng, picture, shape)
    if picture.shows in eruption.ERUPTIONS:
        return eruption.draw(rng, base, picture.shows)
    return lesion.draw(rng, base, factors, close=picture.kind == "dermoscopic")


def _on_skin(rng: Rng, picture: Picture, shape: tuple[int, int]) -> tuple[Colours, lesion.Factors]:
    """Return bare skin and the factors of the lesion on it, none for an eruption."""
    relief = {"dermoscopic": rng.uniform(0.15, 0.5), "clinical": rng.uniform(0.5, 1.1), "tbp": rng.uniform(0.4, 0.9)}[
        picture.kind
    ]
    freckles = max(0.0, rng.normal(0.25, 0.35))
    base = skin(rng, shape, picture.tone, relief, freckles)
    if picture.shows in eruption.ERUPTIONS:
        return base, {}
    factors = lesion.factors(rng, picture.shows)
    smaller = {"dermoscopic": 1.2, "clinical": 0.90, "tbp": 0.85}[picture.kind] / _MARGIN
    factors["size"] *= smaller
    factors["melanin"] *= 1.0 - 0.07 * picture.tone  # darker skin already took part of the light
    return base, factors


def _framed(rng: Rng, scene: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the part of the scene that this view shows: turned, shifted and nearer or farther."""
    framed = scene.transform(size, Image.Transform.AFFINE, _view(rng, scene.size, size), Image.Resampling.BILINEAR)
    return framed.filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.6)))


def _view(rng: Rng, scene: tuple[int, int], size: tuple[int, int]) -> tuple[float, ...]:
    """Return the affine matrix from a photo of ``size`` to a scene's pixels; both are width and height."""
    width, height = size
    turn, zoom = rng.uniform(-0.08, 0.08), rng.uniform(0.94, 1.04)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    slack = 0.02 * min(size)
    cx, cy = scene[0] / 2 + rng.uniform(-slack, slack), scene[1] / 2 + rng.uniform(-slack, slack)
    return (cos, -sin, cx - cos * width / 2 + sin * height / 2, sin, cos, cy - sin * width / 2 - cos * height / 2)


def _dermoscopic(rng: Rng, photo: Colours, device: int) -> Colours:
    if rng.random() < 0.4:
        photo = hair(rng, photo, int(rng.integers(2, 22)))
    return dermatoscope(rng, photo * np.float32(rng.uniform(0.9, 1.1)), device)


def _clinical(rng: Rng, photo: Colours, device: int) -> Colours:
    if rng.random() < 0.3:
        photo = hair(rng, photo, int(rng.integers(2, 14)))
    if rng.random() < 0.12:
        photo = pen_mark(rng, photo)
    return camera(rng, photo * np.float32(rng.uniform(0.88, 1.08)), device, shine=rng.uniform(0.0, 0.22))


def _tbp(rng: Rng, photo: Colours, device: int) -> Colours:
    if rng.random() < 0.3:
        photo = hair(rng, photo, int(rng.integers(2, 12)))
    return camera(rng, photo * np.float32(rng.uniform(0.88, 1.04)), device, shine=0.0)  # cross-polarised: no glare


_LENSES = {"dermoscopic": _dermoscopic, "clinical": _clinical, "tbp": _tbp}
