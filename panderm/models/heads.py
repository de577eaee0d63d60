"""What stands on an encoder for a task: a linear head on its feature, or a whole network that is fine-tuned.

PanDerm (arXiv 2410.15038), Methods, Adaptation; facts of the public code are in docs/decisions/0007-adaptation.md.
Shapes: N images, S side in pixels, P patches, D width, C classes.
"""

from __future__ import annotations

import torch
from timm.layers.pos_embed_rel import gen_relative_position_index
from torch import Tensor, nn

from panderm.models.decay import DecayedByLayer
from panderm.models.encoder import Encoder, EncoderConfig

_HEAD_STD = 0.02  # truncated normal, then scaled down, so that the first logits are all but equal (official init_scale)
_HEAD_SCALE = 0.001


class LinearHead(nn.Linear):
    """Features (N, D) -> logits (N, C): the head of a linear probe."""


class BiasedAttention(nn.Module):
    """An attention layer with a learnt bias for each head and relative position, as in BEiT.

    Args:
        attention: timm's attention of a block.
        grid: side of the patch grid.
        heads: attention heads.
    """

    index: Tensor

    def __init__(self, attention: nn.Module, grid: int, heads: int) -> None:
        super().__init__()
        self.attention = attention
        index = gen_relative_position_index((grid, grid), class_token=True)
        self.register_buffer("index", index, persistent=False)
        self.bias_table = nn.Parameter(torch.zeros((2 * grid - 1) ** 2 + 3, heads))

    def forward(self, tokens: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return attention over all tokens (N, 1 + P, D); timm's mask arguments are not used by the encoder."""
        assert attn_mask is None
        assert not is_causal
        bias = self.bias_table[self.index].permute(2, 0, 1).unsqueeze(0)
        attended: Tensor = self.attention(tokens, attn_mask=bias)
        return attended


class FineTunedNetwork(DecayedByLayer, nn.Module):
    """Encoder -> mean of the patch tokens -> layer norm -> linear head.

    Args:
        config: architecture of the encoder.
        classes: C.
        drop_path: stochastic depth while training (official fine-tuning: 0.2).
        relative_position_bias: add the official fine-tuning class's learnt bias to every attention layer.
    """

    def __init__(
        self, config: EncoderConfig, classes: int, drop_path: float = 0.0, relative_position_bias: bool = False
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config, drop_path)
        self.encoder.vit.norm = nn.Identity()  # its place is taken by fc_norm, behind the pooling
        self.fc_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.head = nn.Linear(config.width, classes)
        nn.init.trunc_normal_(self.head.weight, std=_HEAD_STD)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.weight.mul_(_HEAD_SCALE)
        if relative_position_bias:
            for block in self.encoder.vit.blocks:
                block.attn = BiasedAttention(block.get_submodule("attn"), config.grid, config.heads)

    def start_from(self, encoder: Encoder) -> None:
        """Take over a pretrained encoder's weights; its final norm becomes ``fc_norm``."""
        tensors = encoder.state_dict()
        norm = {name.removeprefix("vit.norm."): tensors.pop(name) for name in list(tensors) if name.startswith("vit.norm.")}
        self.fc_norm.load_state_dict(norm)
        if any(isinstance(block.get_submodule("attn"), BiasedAttention) for block in self.encoder.vit.blocks):
            tensors = {name.replace(".attn.", ".attn.attention."): tensor for name, tensor in tensors.items()}
        missing, unexpected = self.encoder.load_state_dict(tensors, strict=False)
        assert not unexpected, unexpected
        assert all(name.endswith("bias_table") for name in missing), missing

    def features(self, images: Tensor) -> Tensor:
        """Return what the head stands on (N, D), of normalised images (N, 3, S, S)."""
        pooled = self.encoder.tokens(images)[:, 1:].mean(dim=1)
        normed: Tensor = self.fc_norm(pooled)
        return normed

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C) of normalised images (N, 3, S, S)."""
        logits: Tensor = self.head(self.features(images))
        return logits
