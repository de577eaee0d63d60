"""The recipes of adaptation: everything that decides a task model's weights besides encoder and split.

Numbers are the paper's (arXiv 2410.15038, Methods) and, where it is silent, those of the public code's fine-tuning script;
docs/decisions/0007-adaptation.md says where the two differ and what we took.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from panderm.core.config import FrozenConfig

Penalty = Literal["code", "paper", "tuned"]
Monitor = Literal["auto", "auroc", "accuracy", "macro_recall"]


class LinearProbeRecipe(FrozenConfig):
    """Logistic regression on frozen features, full-batch L-BFGS in coordinates that make it short (tasks/logistic.py).

    Attributes:
        penalty: ``code``: mean cross-entropy + (0.5 / K) * ||W||, norm not squared, K = D * C / 100, what the published
            numbers were made with; ``paper``: + 0.5 * lambda * ||W||^2 with lambda = D * C / 100, as the text words it;
            ``tuned``: the squared norm with the strength that is best on the validation split.
        max_iter: L-BFGS iterations (1000: paper).
        standardise: scale features to mean 0 and deviation 1 over the training split first (off: protocol).
        seed: of the rows that the optimiser's coordinates are found on (the minimum does not depend on it).
    """

    penalty: Penalty = "code"
    max_iter: int = Field(default=1000, ge=1)
    standardise: bool = False
    seed: int = Field(default=0, ge=0)


class FineTuneAugmentation(FrozenConfig):
    """What happens to a training image: resize, crop, flips, rotation, hue (public code's transform, in that order).

    Attributes:
        crop_min: smallest share of the resized image's area in a crop.
        crop_max: largest share.
        horizontal_flip: probability.
        vertical_flip: probability.
        rotation: largest angle to either side, degrees; the corners become black.
        hue: largest shift of the hue to either side, in turns of the colour circle.
    """

    crop_min: float = Field(default=0.75, gt=0, le=1)
    crop_max: float = Field(default=1.0, gt=0, le=1)
    horizontal_flip: float = Field(default=0.5, ge=0, le=1)
    vertical_flip: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=45.0, ge=0, le=180)
    hue: float = Field(default=0.2, ge=0, le=0.5)

    @model_validator(mode="after")
    def _ordered(self) -> FineTuneAugmentation:
        if self.crop_min > self.crop_max:
            raise ValueError(f"crop_min {self.crop_min} is above crop_max {self.crop_max}")
        return self


class FineTuneRecipe(FrozenConfig):
    """Fine-tuning of the whole network.

    Attributes:
        epochs: passes over the training split (50: paper).
        warmup_epochs: linear from 0, per step (10: paper).
        batch: images a step over all processes (128: public script); a smaller training split takes all it has.
        learning_rate: peak, absolute, of the last layer (5e-4: paper).
        min_learning_rate: end of the cosine (1e-6: public script).
        weight_decay: constant; vectors, biases, class token and position table have none (0.05: public script).
        layer_decay: factor of the rate from each layer to the one below (0.65: public script).
        drop_path: stochastic depth, rising to this over the blocks (0.2: public script).
        mixup: alpha; 0 is off (0.8: public script).
        cutmix: alpha; 0 is off (1.0: public script).
        mix_switch: share of batches with cutmix where both are on (0.5: public code).
        label_smoothing: (0.1: public code).
        weighted_sampler: draw each class equally often, with replacement (on in the published reference runs).
        monitor: what chooses the epoch on the validation split; ``auto``: AUROC for two classes, else accuracy (public code).
        relative_position_bias: the public fine-tuning class has a zero-initialised bias table in each block; off here, as
            the paper does not mention it and it costs a gather of (P + 1)^2 x heads values in each block.
        augmentation: of training images.
        seed: of the head, order, crops, mixing and stochastic depth.
    """

    epochs: int = Field(default=50, ge=1)
    warmup_epochs: float = Field(default=10, ge=0)
    batch: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0)
    min_learning_rate: float = Field(default=1e-6, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    layer_decay: float = Field(default=0.65, gt=0, le=1)
    drop_path: float = Field(default=0.2, ge=0, lt=1)
    mixup: float = Field(default=0.8, ge=0)
    cutmix: float = Field(default=1.0, ge=0)
    mix_switch: float = Field(default=0.5, ge=0, le=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    weighted_sampler: bool = True
    monitor: Monitor = "auto"
    relative_position_bias: bool = False
    augmentation: FineTuneAugmentation = FineTuneAugmentation()
    seed: int = Field(default=0, ge=0)
