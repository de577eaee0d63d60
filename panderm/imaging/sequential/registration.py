"""The movement that brings one image of a lesion onto another (paper, Methods).

AKAZE points, matched by Hamming distance both ways, a Euclidean transform by RANSAC, and the warp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from panderm.imaging.sequential.cleaning import Mask, Picture, as_picture
from panderm.imaging.sequential.settings import AlignSettings

Points = NDArray[np.float64]
_DRAWN = 2  # two points fix a turn and a shift


class Registration(NamedTuple):
    """What was found between two images.

    Attributes:
        first: matched points of the first image, (M, 2) as x, y.
        second: their partners in the second image.
        agreeing: which of them agree with the movement, (M,); none where there is no registration.
        matrix: (3, 3), from pixels of the first image to pixels of the second; None if too few points agree.
    """

    first: Points
    second: Points
    agreeing: Mask
    matrix: Points | None

    @property
    def found(self) -> bool:
        """Whether the images could be registered."""
        return self.matrix is not None

    @property
    def angle(self) -> float:
        """Turn from the first to the second image, degrees; NaN without a registration."""
        return math.nan if self.matrix is None else math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))


def register(first: Picture, second: Picture, settings: AlignSettings) -> Registration:
    """Look for the turn and shift between two images; equal images and settings give an equal answer.

    Args:
        first: RGB uint8 (H, W, 3); the frame that everything is brought to.
        second: likewise, of any size.
        settings: key points, tolerance, and how many points must agree.
    """
    here, there = _matched(first, second, settings)
    none = Registration(here, there, np.zeros(len(here), dtype=bool), None)
    if len(here) < settings.agreeing:
        return none
    from skimage.measure import ransac
    from skimage.transform import EuclideanTransform

    model, agreeing = ransac(  # type: ignore[no-untyped-call]
        (here, there),
        EuclideanTransform,
        min_samples=_DRAWN,
        residual_threshold=settings.residual,
        max_trials=settings.trials,
        rng=0,
    )
    if agreeing is None or agreeing.sum() < settings.agreeing:
        return none if agreeing is None else none._replace(agreeing=agreeing)
    return Registration(here, there, agreeing, np.asarray(model.params, dtype=np.float64))


def _matched(first: Picture, second: Picture, settings: AlignSettings) -> tuple[Points, Points]:
    """Return the points of each image whose descriptors are nearest to each other both ways."""
    import cv2

    if min(first.shape[0], second.shape[0]) < 2:  # AKAZE writes beyond its memory on a single row, which ends the process
        return np.zeros((0, 2)), np.zeros((0, 2))
    detector = cv2.AKAZE.create(
        descriptor_size=settings.akaze_size, threshold=settings.akaze_threshold, nOctaves=settings.akaze_octaves
    )
    (here, mine), (there, theirs) = (
        detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None) for image in (first, second)
    )
    if mine is None or theirs is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(mine, theirs)
    pairs = [(here[match.queryIdx].pt, there[match.trainIdx].pt) for match in matches]
    points = np.array(pairs, dtype=np.float64).reshape(-1, 2, 2)
    return points[:, 0], points[:, 1]


def bring_over(image: Picture, matrix: Points, shape: tuple[int, int]) -> Picture:
    """Return the second image as seen from the first's frame: linear, what lies outside is reflected (paper).

    Args:
        image: RGB uint8 (H, W, 3).
        matrix: of the registration.
        shape: height and width of the first image.
    """
    from skimage.transform import EuclideanTransform, warp

    movement = EuclideanTransform(matrix)  # type: ignore[no-untyped-call]
    moved = warp(  # type: ignore[no-untyped-call]
        image, movement, output_shape=shape, order=1, mode="reflect", preserve_range=True
    )
    return as_picture(np.asarray(moved).round().clip(0, 255).astype(np.uint8))


def bring_mask_over(mask: Mask, matrix: Points, shape: tuple[int, int]) -> Mask:
    """Return a mask of the second image as seen from the first's frame; outside of the second image there is none."""
    from skimage.transform import EuclideanTransform, warp

    movement = EuclideanTransform(matrix)  # type: ignore[no-untyped-call]
    moved = warp(mask.astype(np.float64), movement, output_shape=shape, order=0, cval=0)  # type: ignore[no-untyped-call]
    inside: Mask = np.asarray(moved) > 0.5
    return inside
