"""Every number of the pipeline for pairs of images of a lesion, and where it is from."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from panderm.core.config import FrozenConfig

Arm = Literal["default", "warp", "mask", "whole"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""What the network gets to see: the images as they are; registered; the lesion alone; or cleaned, registered and masked."""


class AlignSettings(FrozenConfig):
    """Numbers of the steps; those marked *paper* are from its Methods, the others are ours.

    Attributes:
        side: long side to which both images are brought first, pixels; every other length is in these pixels. Ours: the
            paper does not say at which size its kernel of 17 pixels is applied.
        corner_threshold: grey value above which a pixel is seen through the dermatoscope (100: paper).
        corner_shrink: factor on the radius of the field's circle, outside of which all is painted over (0.8: paper).
        corner_radius: of the inpainting of the corners (10, Telea: paper).
        corner_field: least share of the frame that the field must fill for its circle to be believed. Ours.
        skin_blend: distance from the circle at which painted pixels are skin colour alone, as a share of the side. Ours: the
            paper names an earlier work for its "skin inpainting" and no number.
        hair_kernel: side of the black-hat's structuring element (17: paper; that it is a cross is ours).
        hair_threshold: black-hat response of a hair. Ours: 10, what public scripts of this method use.
        hair_length: least extent of a piece of hair, as a share of the side; shorter ones are texture of the lesion. Ours.
        hair_fill: largest share of its extent's square that a piece of hair fills; what fills more is a patch. Ours.
        hair_radius: of the inpainting of hair (Telea). Ours.
        akaze_threshold: response of a key point (9e-5: paper).
        akaze_octaves: (4: paper).
        akaze_size: bits of a descriptor, 0 for all (0: paper).
        residual: distance up to which a pair of points agrees with a movement, pixels. Ours.
        trials: draws of RANSAC. Ours: finds a movement that 5 in 100 matches agree with in 92 of 100 cases.
        agreeing: least number of agreeing points for a registration. Ours, measured by ``benchmarks/registration.py``:
            images of two lesions never reach it (docs/change_detection.md).
        mask_margin: width that is added around the lesion, as a share of the side. Ours.
        mask_least: smallest share of the frame that a lesion may fill, else the image stays unmasked. Ours.
        mask_most: largest such share. Ours.
    """

    side: int = Field(default=512, ge=64, le=4096)
    corner_threshold: int = Field(default=100, ge=1, le=254)
    corner_shrink: float = Field(default=0.8, gt=0, le=1)
    corner_radius: float = Field(default=10.0, gt=0)
    corner_field: float = Field(default=0.35, gt=0, le=1)
    skin_blend: float = Field(default=0.1, gt=0)
    hair_kernel: int = Field(default=17, ge=3)
    hair_threshold: int = Field(default=10, ge=1, le=254)
    hair_length: float = Field(default=0.1, ge=0, le=1)
    hair_fill: float = Field(default=0.25, gt=0, le=1)
    hair_radius: float = Field(default=3.0, gt=0)
    akaze_threshold: float = Field(default=9e-5, gt=0)
    akaze_octaves: int = Field(default=4, ge=1)
    akaze_size: int = Field(default=0, ge=0)
    residual: float = Field(default=5.0, gt=0)
    trials: int = Field(default=1000, ge=1)
    agreeing: int = Field(default=8, ge=3)
    mask_margin: float = Field(default=0.05, ge=0)
    mask_least: float = Field(default=0.01, ge=0)
    mask_most: float = Field(default=0.9, le=1)
