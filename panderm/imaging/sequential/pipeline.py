"""The whole way of a pair of images: one size, corners, hair, registration, lesion, and what each arm makes of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from panderm.imaging.sequential.cleaning import Mask, Picture, remove_corners, remove_hair
from panderm.imaging.sequential.lesion import lesion_mask
from panderm.imaging.sequential.registration import Registration, bring_mask_over, bring_over, register
from panderm.imaging.sequential.settings import AlignSettings, Arm


class Steps(NamedTuple):
    """One image on its way.

    Attributes:
        original: RGB uint8 (H, W, 3) at the pipeline's size.
        corners: with the dark corners painted over.
        corner_mask: where those were.
        clean: with the hair painted over, too.
        hair_mask: where that was.
        lesion: where the lesion is; None if nothing plausible was found.
    """

    original: Picture
    corners: Picture
    corner_mask: Mask
    clean: Picture
    hair_mask: Mask
    lesion: Mask | None


class Aligned(NamedTuple):
    """A pair on its way.

    Attributes:
        first: steps of the earlier image, whose frame counts.
        second: steps of the later image, in its own frame.
        registration: between the two cleaned images.
    """

    first: Steps
    second: Steps
    registration: Registration


def steps(image: Image.Image, settings: AlignSettings) -> Steps:
    """Take one RGB image through the steps that need no partner."""
    original = _sized(image, settings.side)
    corners, corner_mask = remove_corners(original, settings)
    clean, hair_mask = remove_hair(corners, settings)
    return Steps(original, corners, corner_mask, clean, hair_mask, lesion_mask(clean, settings))


def align(first: Image.Image, second: Image.Image, settings: AlignSettings) -> Aligned:
    """Take a pair of RGB images through every step; no registration is an answer, too."""
    here, there = steps(first, settings), steps(second, settings)
    return Aligned(here, there, register(here.clean, there.clean, settings))


def pictures(aligned: Aligned, arm: Arm) -> tuple[Picture, Picture]:
    """Return what the network gets to see of a pair.

    ``warp`` and ``whole`` show an unregistered pair each in its own frame. Under ``whole`` both images of a registered pair
    keep what is lesion in either, so that growth stays visible in both; outside of that they are black.

    Args:
        aligned: the pair.
        arm: one of the paper's ablation arms.
    """
    first, second, matrix = aligned.first, aligned.second, aligned.registration.matrix
    if arm == "default":
        return first.original, second.original
    if arm == "mask":
        return _masked(first.original, first.lesion), _masked(second.original, second.lesion)
    shape = (first.original.shape[0], first.original.shape[1])
    if arm == "warp":
        return first.original, second.original if matrix is None else bring_over(second.original, matrix, shape)
    if matrix is None:
        return _masked(first.clean, first.lesion), _masked(second.clean, second.lesion)
    both = shared_lesion(aligned)
    return _masked(first.clean, both), _masked(bring_over(second.clean, matrix, shape), both)


def shared_lesion(aligned: Aligned) -> Mask | None:
    """Return what is lesion in either image of a registered pair, in the first one's frame; None if either has none."""
    matrix, here, there = aligned.registration.matrix, aligned.first.lesion, aligned.second.lesion
    assert matrix is not None
    if here is None or there is None:
        return None
    both: Mask = here | bring_mask_over(there, matrix, (here.shape[0], here.shape[1]))
    return both


def _masked(image: Picture, mask: Mask | None) -> Picture:
    if mask is None:
        return image
    kept: Picture = np.where(mask[..., None], image, 0).astype(np.uint8)
    return kept


def _sized(image: Image.Image, side: int) -> Picture:
    """Return the image with its long side brought to ``side`` pixels, up or down: all lengths are in these pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
