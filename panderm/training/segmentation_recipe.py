"""The recipe of a segmentation: everything that decides its weights besides encoder and split."""

from __future__ import annotations

from pydantic import Field

from panderm.core.config import FrozenConfig


class SegmentationRecipe(FrozenConfig):
    """UperNet, all weights trained by pixel cross-entropy (paper, Methods, Segmentation).

    Attributes:
        epochs: passes over the training split, cosine to zero (100: paper).
        batch: images a step (16 is ours; the public script runs 1 on each of two GPUs).
        learning_rate: (5e-4: paper; the public script has 1e-4).
        weight_decay: (0.01: paper; the public script has 0.05).
        drop_path: stochastic depth of the encoder (0.15: public code).
        channels: width of the head; null is the encoder's own width, 1024 for the paper's.
        seeds: trainings with seeds 0, 1, ...; figures are means over them (5: paper).
        fraction: share of the training groups that is used, which each seed draws for itself (1: all).
        jitter: strength of brightness, contrast and saturation jitter (0.2: public code).
        rotation: largest angle to either side, degrees (paper: random rotation, no number; 45 as in its fine-tuning).
        flip: probability of a flip in each direction (paper: random flip).
    """

    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    drop_path: float = Field(default=0.15, ge=0, lt=1)
    channels: int | None = Field(default=None, ge=8)
    seeds: int = Field(default=5, ge=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    rotation: float = Field(default=45.0, ge=0, le=180)
    flip: float = Field(default=0.5, ge=0, le=1)
