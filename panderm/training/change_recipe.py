"""The recipe of a change detection: everything that decides its weights besides encoder and split."""

from __future__ import annotations

from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.imaging.sequential.pairs import Pairing
from panderm.imaging.sequential.settings import AlignSettings, Arm


class ChangeRecipe(FrozenConfig):
    """A Siamese network, all weights trained by cross-entropy and a contrastive loss (paper, Methods, change detection).

    The paper gives neither margin, width, rate nor epochs; where it is silent, numbers are those of its fine-tuning or ours.

    Attributes:
        arm: what the network gets to see of a pair: ``default``, ``warp``, ``mask``, or ``whole`` (the paper's pipeline).
        pipeline: numbers of the image pipeline.
        pairing: each image with the one before it (``consecutive``), or the first and last of a lesion alone, for labels that
            speak of the lesion as a whole.
        epochs: passes over the training pairs (50: as the paper's fine-tuning).
        warmup_epochs: linear from 0, per step (10: likewise).
        batch: pairs a step (32: ours).
        learning_rate: peak, of the last layer (5e-4: as the paper's fine-tuning).
        min_learning_rate: end of the cosine (1e-6: public script of its fine-tuning).
        weight_decay: (0.05: likewise).
        layer_decay: factor of the rate from each layer to the one below (0.65: likewise).
        drop_path: stochastic depth of the encoder (0.2: likewise).
        hidden: width of the first of the two layers (512: ours).
        margin: of the contrastive loss, on features at unit length, whose distance is 0 to 2 (1: ours).
        contrastive: weight of the contrastive loss beside the cross-entropy (0.5: ours); 0 leaves it out.
        frozen_encoder: train the two layers alone on features that are computed once, for small machines; the contrastive
            loss, which moves features, has no part in that.
        rotation: largest angle to either side, degrees, the same for both images of a pair (45: as the paper's fine-tuning).
        flip: probability of a flip in each direction, the same for both (0.5: likewise).
        jitter: strength of brightness, contrast and saturation jitter, the same for both (0.2: ours), so that a difference of
            colour between the two stays what it is.
        seed: of the head, order, views and stochastic depth.
    """

    arm: Arm = "whole"
    pipeline: AlignSettings = AlignSettings()
    pairing: Pairing = "consecutive"
    epochs: int = Field(default=50, ge=1)
    warmup_epochs: float = Field(default=10, ge=0)
    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    min_learning_rate: float = Field(default=1e-6, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    layer_decay: float = Field(default=0.65, gt=0, le=1)
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    hidden: int = Field(default=512, ge=1)
    margin: float = Field(default=1.0, gt=0, le=2)
    contrastive: float = Field(default=0.5, ge=0)
    frozen_encoder: bool = False
    rotation: float = Field(default=45.0, ge=0, le=180)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)
