"""Pixels as the networks take them: the one torch form of the preprocessing description's mean and deviation."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from panderm.imaging.preprocessing import Preprocessing


def normalise(pixels: Tensor, spec: Preprocessing) -> Tensor:
    """Return uint8 pixels (N, 3, S, S) as float32 ``(x / 255 - mean) / std``, on the device they are on."""
    channels = _kept_channels if pixels.device.type == "cuda" else _channels
    mean, std = channels(spec.mean, pixels.device), channels(spec.std, pixels.device)
    return (pixels.to(torch.float32) / 255.0 - mean) / std


def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


@lru_cache(maxsize=32)
def _kept_channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """Return one value a channel; on a GPU it is kept, since bringing it there makes the host wait."""
    with torch.inference_mode(False):  # kept for training too, whoever asks first
        return _channels(values, device)
