"""Random views of a batch on the device: turns, flips and changes of colour, every number drawn from one generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def turns(count: int, rotation: float, flip: float, rng: np.random.Generator) -> Tensor:
    """Return random rotations and flips as affine matrices (N, 2, 3), for ``torch.nn.functional.affine_grid``.

    Args:
        count: N.
        rotation: largest angle to either side, degrees.
        flip: probability of a flip in each direction.
        rng: what is drawn from.
    """
    angle = np.radians(rng.uniform(-rotation, rotation, count))
    flips = np.where(rng.random((2, count)) < flip, -1.0, 1.0)
    rows = [[np.cos(angle) * flips[0], -np.sin(angle) * flips[1]], [np.sin(angle) * flips[0], np.cos(angle) * flips[1]]]
    matrix = np.zeros((count, 2, 3))
    matrix[:, :, :2] = np.array(rows).transpose(2, 0, 1)
    return torch.from_numpy(matrix).float()


def jittered(pixels: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Return images in 0..1 with brightness, contrast and saturation changed, each image by factors of its own."""
    if not strength:
        return pixels
    factors = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (3, len(pixels), 1, 1, 1))).float().to(pixels.device)
    return recoloured(pixels, factors)


def recoloured(pixels: Tensor, factors: Tensor) -> Tensor:
    """Return images (N, 3, H, W) in 0..1 with brightness, contrast and saturation times ``factors`` (3, N, 1, 1, 1)."""
    pixels = pixels * factors[0]
    pixels = pixels.mean(dim=(1, 2, 3), keepdim=True).lerp(pixels, factors[1].expand_as(pixels))
    grey = pixels.mean(dim=1, keepdim=True)
    return grey.expand_as(pixels).lerp(pixels, factors[2].expand_as(pixels)).clamp(0, 1)
