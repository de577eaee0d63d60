"""UperNet on the encoder: four taps, necks that make a pyramid of them, pooled context, one mask (paper, Methods).

After UPerNet (arXiv 1807.10221) with the feature necks that BEiT-style encoders use; written from the described layers.
Shapes: N images, S side in pixels, G = S / patch side, D encoder width, W channels of the head, C classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from panderm.models.encoder import Encoder, EncoderConfig

POOLS = (1, 2, 3, 6)
"""Sides of the pooled context (UPerNet, and the official head)."""


def taps(depth: int) -> tuple[int, int, int, int]:
    """Return the blocks (0-based) whose output is used: a third, a half, two thirds and all of the depth.

    24 blocks give 7, 11, 15, 23 as in the official configuration; fewer than six give the last four, or what there is.
    """
    if depth < 6:
        last = [max(0, depth - 4 + n) for n in range(4)]
        return last[0], last[1], last[2], last[3]
    return depth // 3 - 1, depth // 2 - 1, 2 * depth // 3 - 1, depth - 1


class ConvBlock(nn.Sequential):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inward: int, outward: int, side: int) -> None:
        super().__init__(
            nn.Conv2d(inward, outward, side, padding=side // 2, bias=False), nn.BatchNorm2d(outward), nn.ReLU(inplace=True)
        )


class PooledContext(nn.Module):
    """Pool a map to several sizes, bring each back and read all of them together."""

    def __init__(self, inward: int, channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(side), ConvBlock(inward, channels, 1)) for side in POOLS)
        self.bottleneck = ConvBlock(inward + len(POOLS) * channels, channels, 3)

    def forward(self, level: Tensor) -> Tensor:
        """Map (N, D, h, w) to (N, W, h, w)."""
        context = [resized(stage(level), level) for stage in self.stages]
        read: Tensor = self.bottleneck(torch.cat([level, *context], dim=1))
        return read


class UperNet(nn.Module):
    """Encoder, necks and head; every weight is trained.

    Args:
        config: architecture of the encoder.
        classes: C.
        channels: W; the official head has the width of ViT-L, 1024.
        drop_path: stochastic depth of the encoder while training.
    """

    def __init__(self, config: EncoderConfig, classes: int = 2, channels: int = 1024, drop_path: float = 0.15) -> None:
        super().__init__()
        width = config.width
        self.encoder = Encoder(config, drop_path)
        self.taps = taps(config.depth)
        self.necks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, width, 2, 2),
                    nn.BatchNorm2d(width),
                    nn.GELU(),
                    nn.ConvTranspose2d(width, width, 2, 2),
                ),
                nn.ConvTranspose2d(width, width, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2),
            ]
        )
        self.context = PooledContext(width, channels)
        self.laterals = nn.ModuleList(ConvBlock(width, channels, 1) for _ in range(3))
        self.smooth = nn.ModuleList(ConvBlock(channels, channels, 3) for _ in range(3))
        self.fuse = ConvBlock(4 * channels, channels, 3)
        self.classify = nn.Conv2d(channels, classes, 1)
        self._initialise()

    def _initialise(self) -> None:
        for part in (self.necks, self.context, self.laterals, self.smooth, self.fuse, self.classify):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classify.weight, std=0.01)
        assert self.classify.bias is not None
        nn.init.zeros_(self.classify.bias)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return four maps (N, D, 4G, 4G), (.., 2G, 2G), (.., G, G), (.., G/2, G/2) of normalised images (N, 3, S, S)."""
        maps = [as_map(tokens) for tokens in self.encoder.tapped(images, self.taps)]
        return [neck(level) for neck, level in zip(self.necks, maps, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C, S, S) of normalised images (N, 3, S, S)."""
        levels = self.pyramid(images)
        streams = [lateral(level) for lateral, level in zip(self.laterals, levels[:3], strict=True)]
        streams.append(self.context(levels[3]))
        for lower in (2, 1, 0):
            streams[lower] = streams[lower] + resized(streams[lower + 1], streams[lower])
        read = [smooth(stream) for smooth, stream in zip(self.smooth, streams[:3], strict=True)] + [streams[3]]
        fused = self.fuse(torch.cat([resized(stream, read[0]) for stream in read], dim=1))
        return interpolate(self.classify(fused), size=images.shape[-2:], mode="bilinear", align_corners=False)


def as_map(tokens: Tensor) -> Tensor:
    """Return patch tokens out of (N, 1 + P, D) as a map (N, D, G, G); the class token is left out."""
    side = math.isqrt(tokens.shape[1] - 1)
    return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], side, side)


def resized(stream: Tensor, like: Tensor) -> Tensor:
    """Return ``stream`` bilinearly at the height and width of ``like``."""
    return interpolate(stream, size=like.shape[-2:], mode="bilinear", align_corners=False)
