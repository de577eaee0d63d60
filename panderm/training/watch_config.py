"""How closely a pretraining is watched. Nothing here changes a weight, so it is no part of the recipe's identity."""

from __future__ import annotations

from pydantic import Field

from panderm.core.config import FrozenConfig


class WatchConfig(FrozenConfig):
    """What is looked at while an encoder is trained, and how often.

    A look takes place before the first step, after the last one and in between. Where no interval is set, as many looks are
    taken as fit into ``share`` of the training's computation, at most one an epoch; runs so short that fewer would fit get
    five of the signs and three of the probe all the same (docs/watching.md has what that costs).

    Attributes:
        share: largest share of the training's computation that looks may take, half for the signs and half for the probe
            (0.02: what the training's own noise in speed hides; measured in docs/watching.md).
        every_epochs: epochs between two looks at loss and collapse signs; 0 follows from ``share``.
        images: fixed images for these, from all modalities alike; at most an eighth of a corpus of more than
            128; 0 turns them off (256:
            the effective rank cannot exceed it, and in 64 images of a modality a neighbour is no accident).
        probe_every_epochs: epochs between two probes; 0 follows from ``share``.
        probe_images: labelled images of each task, two thirds of them of its training split, one third of its validation
            split, never a test image; at most a quarter of the corpus (256: a standard error of about 5 points of balanced
            accuracy on one task, 2 on ten).
        probe_tasks: which tasks are probed; by default every diagnosis task that has splits; an empty list turns it off.
    """

    share: float = Field(default=0.02, gt=0, le=1)
    every_epochs: float = Field(default=0, ge=0)
    images: int = Field(default=256, ge=0)
    probe_every_epochs: float = Field(default=0, ge=0)
    probe_images: int = Field(default=256, ge=6)
    probe_tasks: tuple[str, ...] | None = None
