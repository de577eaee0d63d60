"""The recipe of a classifier of whole slides: everything that decides its weights besides encoder and folds."""

from __future__ import annotations

from pydantic import Field

from panderm.core.config import FrozenConfig


class SlidesRecipe(FrozenConfig):
    """Gated attention over frozen features of tiles (paper, Methods), one slide a step.

    Attributes:
        epochs: passes over the training slides, cosine to zero (20: paper).
        learning_rate: of AdamW (1e-4: paper).
        weight_decay: (1e-5: paper).
        hidden: width after the first layer (512: paper).
        attention: width of the gates (384: paper).
        dropout_input: of the features (0.10: paper).
        dropout: after the first layer and each gate (0.25: paper).
        patience: epochs without a lower validation loss after which a fold ends; null runs all. The paper stops early on
            validation loss and states no number (5 is ours); the epoch with the lowest loss is kept in any case.
        seed: of initial weights, order and dropout.
    """

    epochs: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)
    hidden: int = Field(default=512, ge=2)
    attention: int = Field(default=384, ge=2)
    dropout_input: float = Field(default=0.10, ge=0, lt=1)
    dropout: float = Field(default=0.25, ge=0, lt=1)
    patience: int | None = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)
