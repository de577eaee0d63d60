"""Removal of what belongs to the camera and the skin's surface: dark corners and hair.

Images are RGB uint8 (H, W, 3), masks bool (H, W).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from panderm.imaging.sequential.settings import AlignSettings

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def as_picture(values: ArrayLike) -> Picture:
    """Return an array as uint8; OpenCV's types say only that it answers with numbers."""
    return np.asarray(values, dtype=np.uint8)


def remove_corners(image: Picture, settings: AlignSettings) -> tuple[Picture, Mask]:
    """Return the image with everything outside the dermatoscope's field painted as skin, and where that was.

    Nothing is done to an image without a dark corner, or whose field is too small to be one (dark skin, say): the paper's
    steps would paint over a fifth of every image.
    """
    import cv2

    outside = _outside(image, settings)
    if not outside.any():
        return image, outside
    painted = as_picture(cv2.inpaint(image, outside.astype(np.uint8), settings.corner_radius, cv2.INPAINT_TELEA))
    return _towards_skin(image, painted, outside, settings), outside


def _outside(image: Picture, settings: AlignSettings) -> Mask:
    """Return what lies outside the shrunk circle around the largest bright piece; nothing where no corner is dark."""
    import cv2

    height, width = image.shape[:2]
    nothing = np.zeros((height, width), dtype=bool)
    grey = as_picture(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if not _dark_corner(grey, settings.corner_threshold):
        return nothing
    _, bright = cv2.threshold(grey, settings.corner_threshold, 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(bright, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    field = max(contours, key=cv2.contourArea, default=None)
    if field is None or cv2.contourArea(field) < settings.corner_field * height * width:
        return nothing
    (x, y), radius = cv2.minEnclosingCircle(field)
    rows, columns = np.mgrid[:height, :width]
    outside: Mask = (columns - x) ** 2 + (rows - y) ** 2 > (settings.corner_shrink * radius) ** 2
    return outside


def _dark_corner(grey: Picture, threshold: int) -> bool:
    side = max(2, min(grey.shape) // 32)
    corners = (grey[:side, :side], grey[:side, -side:], grey[-side:, :side], grey[-side:, -side:])
    return any(float(np.median(corner)) <= threshold for corner in corners)


def _towards_skin(image: Picture, painted: Picture, outside: Mask, settings: AlignSettings) -> Picture:
    """Let what was painted go over into the colour of the skin at the field's edge: far from it Telea only draws streaks."""
    import cv2

    reach = settings.skin_blend * max(image.shape[:2])
    inside = (~outside).astype(np.uint8)
    rim = inside.astype(bool) & (cv2.distanceTransform(inside, cv2.DIST_L2, 5) <= reach)
    skin = np.median(image[rim], axis=0)
    share = np.clip(cv2.distanceTransform(outside.astype(np.uint8), cv2.DIST_L2, 5) / reach, 0, 1)[..., None]
    mixed = (1 - share) * painted + share * skin
    filled: Picture = np.where(outside[..., None], mixed.round(), image).astype(np.uint8)
    return filled


def remove_hair(image: Picture, settings: AlignSettings) -> tuple[Picture, Mask]:
    """Return the image with dark hair painted over, and where it was."""
    import cv2

    hair = _hair(image, settings)
    if not hair.any():
        return image, hair
    return as_picture(cv2.inpaint(image, hair.astype(np.uint8), settings.hair_radius, cv2.INPAINT_TELEA)), hair


def _hair(image: Picture, settings: AlignSettings) -> Mask:
    """Return the long pieces of what is darker than its surroundings and narrower than the kernel."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (settings.hair_kernel, settings.hair_kernel))
    response = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    _, narrow = cv2.threshold(response, settings.hair_threshold, 255, cv2.THRESH_BINARY)
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(narrow, connectivity=8)
    extent = np.hypot(facts[:, cv2.CC_STAT_WIDTH], facts[:, cv2.CC_STAT_HEIGHT])
    long = extent >= settings.hair_length * max(image.shape[:2])
    long &= facts[:, cv2.CC_STAT_AREA] <= settings.hair_fill * extent**2
    long[0] = False  # the background
    assert count == len(long)
    hair: Mask = long[pieces]
    return hair
