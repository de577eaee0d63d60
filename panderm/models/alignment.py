"""The pretraining objective: every token's latent, visible or predicted, aligned with the teacher's token at its place.

One mean cosine distance over class, visible and masked tokens (CAE v2 as used by PanDerm): with P patches the class token
weighs 1 / (1 + P), the visible K / (1 + P), the masked M / (1 + P).

Shapes: N images, S side in pixels, P patches = K visible + M masked, D encoder width, R regressor width, T teacher width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from panderm.models.encoder import Encoder, gather_rows, initialise
from panderm.models.linear import Linear
from panderm.models.regressor import Regressor, RegressorBlock
from panderm.models.residual import EncoderBlock, Part


class Losses(NamedTuple):
    """Mean cosine distances, 0 (aligned) to 2 (opposite); ``total`` is the one that is minimised, ``by_image`` is (N,)."""

    total: Tensor
    class_token: Tensor
    visible: Tensor
    masked: Tensor
    by_image: Tensor


class TeacherHead(nn.Module):
    """The one map from latents to the teacher's space that class, visible and masked tokens share: norm and linear."""

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.linear = Linear(width, teacher_width)
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., R) to (..., T)."""
        mapped: Tensor = self.linear(self.norm(tokens))
        return mapped


class MaskedAlignment(nn.Module):
    """Encoder, regressor and head, with the loss as forward pass (so that DDP wraps all of it)."""

    def __init__(self, encoder: Encoder, regressor: Regressor, teacher_width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.regressor = regressor
        self.head = TeacherHead(regressor.config.width, teacher_width)

    def checkpoint_activations(self) -> None:
        """Trade time for memory: keep what enters each block, compute the rest again for the gradients."""
        self.encoder.checkpointing = self.regressor.checkpointing = True

    def see_part(self, rank: int, world: int) -> None:
        """Draw stochastic depth for global batches, of which this process has the ``rank``-th of ``world`` equal parts."""
        for module in self.modules():
            if isinstance(module, EncoderBlock | RegressorBlock):
                module.part = Part(rank, world)

    def predict(self, images: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Predict the teacher's tokens.

        Args:
            images: (N, 3, S, S) normalised for the student.
            keep: (N, K) visible patches, ascending.
            masked: (N, M) masked patches, ascending.

        Returns:
            (N, 1 + K + M, T): class token, visible, masked.
        """
        latents = self.regressor.entry(self.encoder.visible(images, keep))
        predicted = self.regressor(latents[:, 1:], keep, masked)
        mapped: Tensor = self.head(torch.cat([latents, predicted], dim=1))
        return mapped

    def class_token(self, images: Tensor) -> Tensor:
        """Return the encoder's feature of images (N, 3, S, S), (N, D); asked here because a sharded network has one door."""
        return self.encoder.class_token(images)

    def forward(self, images: Tensor, keep: Tensor, masked: Tensor, targets: Tensor) -> Losses:
        """Return the losses against teacher tokens ``targets`` (N, 1 + P, T), class token first, patches in raster order."""
        return losses(self.predict(images, keep, masked), in_order(targets, keep, masked), keep.shape[1])


def in_order(targets: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
    """Return teacher tokens (N, 1 + P, T) as class token, visible, masked."""
    return gather_rows(targets, torch.cat([torch.zeros_like(keep[:, :1]), keep + 1, masked + 1], dim=1))


def losses(predicted: Tensor, targets: Tensor, visible: int) -> Losses:
    """Return mean cosine distances of (N, 1 + K + M, T) tokens in float32; ``visible`` is K."""
    distance = 1 - cosine_similarity(predicted.float(), targets.float(), dim=-1)
    return Losses(
        distance.mean(),
        distance[:, 0].mean(),
        distance[:, 1 : 1 + visible].mean(),
        distance[:, 1 + visible :].mean(),
        distance.mean(dim=1),
    )
