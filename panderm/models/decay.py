"""How timm's optimisers see a network that is trained on from a pretrained encoder: its layers, and what does not decay."""

from __future__ import annotations

from typing import Any


class DecayedByLayer:
    """A network whose :class:`panderm.models.encoder.Encoder` is its attribute ``encoder``, for layer-wise rates."""

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002 - timm calls it so
        """Say which parameters form a layer, for timm's layer-wise decay: stem 0, block i is i + 1, the rest last."""
        return {
            "stem": r"^encoder\.vit\.(?:cls_token|pos_embed|patch_embed|norm_pre)",
            "blocks": r"^encoder\.vit\.blocks\.(\d+)",  # what is not named (norm, head) forms the last layer
        }

    def no_weight_decay(self) -> set[str]:
        """Return the parameters without weight decay, besides vectors and biases (official list)."""
        return {"encoder.vit.cls_token", "encoder.vit.pos_embed"}
