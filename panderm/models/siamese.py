"""The Siamese network: two images through one encoder, their features joined, two layers (paper, Methods, change detection)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from panderm.models.decay import DecayedByLayer
from panderm.models.encoder import Encoder, EncoderConfig

_LEAST = 1e-12  # below the root, whose slope at 0 is infinite


class PairHead(nn.Module):
    """Two features, joined, through two layers.

    Args:
        width: D, of a feature.
        hidden: of the first layer.
        classes: C.
    """

    def __init__(self, width: int, hidden: int, classes: int = 2) -> None:
        super().__init__()
        self.joined = nn.Linear(2 * width, hidden)
        self.answer = nn.Linear(hidden, classes)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits (N, C) of features (N, D) of the earlier and the later images."""
        logits: Tensor = self.answer(relu(self.joined(torch.cat([first, second], dim=1))))
        return logits


class SiameseNetwork(DecayedByLayer, nn.Module):
    """One encoder for both images, and a head on the pair of features (class tokens after the final norm).

    Args:
        config: architecture of the encoder.
        hidden: of the head's first layer.
        drop_path: stochastic depth of the encoder while training.
    """

    def __init__(self, config: EncoderConfig, hidden: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.encoder = Encoder(config, drop_path)
        self.head = PairHead(config.width, hidden)

    def features(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (N, D) of normalised images (N, 3, S, S), in one pass of 2 N images."""
        both = self.encoder.class_token(torch.cat([first, second]))
        return both[: len(first)], both[len(first) :]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits (N, 2) of pairs of normalised images."""
        logits: Tensor = self.head(*self.features(first, second))
        return logits


def contrastive(first: Tensor, second: Tensor, changed: Tensor, margin: float) -> Tensor:
    """Return the loss that pulls the features of unchanged pairs together and pushes those of changed ones apart.

    Mean of d^2 over unchanged and of max(0, margin - d)^2 over changed pairs, d the distance of the features at unit length,
    0 to 2 (Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, 2006).

    Args:
        first: features (N, D) of the earlier images.
        second: of the later ones.
        changed: (N,), 1 for changed pairs.
        margin: distance beyond which a changed pair is far enough apart.
    """
    squared = (normalize(first) - normalize(second)).square().sum(dim=1)
    short = relu(margin - (squared + _LEAST).sqrt())
    return torch.where(changed.bool(), short.square(), squared).mean()
