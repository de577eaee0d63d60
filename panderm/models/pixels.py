"""Pixels as the networks take them: the one torch form of the preprocessing description's mean and deviation."""

from __future__ import annotations

import torch
from torch import Tensor

from panderm.imaging.preprocessing import Preprocessing


def normalise(pixels: Tensor, spec: Preprocessing) -> Tensor:
    """Return uint8 pixels (N, 3, S, S) as float32 ``(x / 255 - mean) / std``, on the device they are on."""
    mean = torch.tensor(spec.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(spec.std, device=pixels.device).view(1, 3, 1, 1)
    return (pixels.to(torch.float32) / 255.0 - mean) / std
