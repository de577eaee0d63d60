"""Where the lesion is, without a trained network: Otsu's threshold on the smoothed blue channel, the piece in the middle.

Ours: the paper masks by a segmentation network of its own that is not public. Blue is the channel in which melanin and
blood are darkest against skin (docs/change_detection.md has the measured agreement with drawn masks).
"""

from __future__ import annotations

import numpy as np

from panderm.imaging.sequential.cleaning import Mask, Picture
from panderm.imaging.sequential.settings import AlignSettings

_SMOOTHED = 1 / 64  # of the side: deviation of the Gaussian before the threshold
_MIDDLE = 1 / 3  # of height and width: how fast a piece counts less away from the middle


def lesion_mask(image: Picture, settings: AlignSettings) -> Mask | None:
    """Return the lesion with a margin around it (H, W); None if what was found is too small or too large to be one.

    Args:
        image: RGB uint8 (H, W, 3), cleaned of dark corners, which are darker than any lesion.
        settings: margin and allowed sizes.
    """
    import cv2
    from scipy import ndimage

    height, width = image.shape[:2]
    side = max(height, width)
    smooth = cv2.GaussianBlur(image[..., 2], (0, 0), side * _SMOOTHED)
    _, dark = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    pieces, count = ndimage.label(dark)
    if not count:
        return None
    y, x = np.mgrid[:height, :width]
    near = np.exp(-(((y / height - 0.5) / _MIDDLE) ** 2) - ((x / width - 0.5) / _MIDDLE) ** 2)
    best = 1 + int(np.argmax(ndimage.sum(near, pieces, range(1, count + 1))))
    mask: Mask = ndimage.binary_fill_holes(pieces == best)
    if not settings.mask_least <= mask.mean() <= settings.mask_most:
        return None
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    widened: Mask = away <= settings.mask_margin * side
    return widened
