"""Gated attention over the tiles of a slide (Ilse et al., 2018), in the sizes that the paper states."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedAttention(nn.Module):
    """A bag of features -> class logits and how much each of them counted.

    Args:
        width: of a feature.
        classes: of the task.
        hidden: width after the first layer (512: paper).
        attention: width of the two gates (384: paper).
        dropout_input: of the features (0.10: paper).
        dropout: after the first layer and each gate (0.25: paper).
    """

    def __init__(
        self,
        width: int,
        classes: int,
        hidden: int = 512,
        attention: int = 384,
        dropout_input: float = 0.1,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Dropout(dropout_input), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.content = nn.Sequential(nn.Linear(hidden, attention), nn.Tanh(), nn.Dropout(dropout))
        self.gate = nn.Sequential(nn.Linear(hidden, attention), nn.Sigmoid(), nn.Dropout(dropout))
        self.weigh = nn.Linear(attention, 1)
        self.classify = nn.Linear(hidden, classes)

    def forward(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (C,) and attention (N,), which sums to 1, of the features (N, D) of one slide."""
        projected: Tensor = self.project(bag)
        attention = torch.softmax(self.weigh(self.content(projected) * self.gate(projected)).squeeze(-1), dim=0)
        logits: Tensor = self.classify(attention @ projected)
        return logits, attention
