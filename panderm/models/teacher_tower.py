"""A frozen CLIP image tower, laid out for answering alone: its products in half precision, and nothing computed twice.

What open_clip's own module does, with four things done beforehand or differently: LayerScale and the constant of QuickGELU are
multiplied into the weights, patches are projected by one product, attention is one fused operation, and weights are stored in
the precision they are used in. In float32 the tokens are those of the module itself (a test holds it to 1e-5).

Shapes: N images, S side, P patches, L = 1 + P tokens, W tower width, T width after the projection.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from panderm.models.encoder import patch_pixels
from panderm.models.linear import FrozenLinear

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_QUICK = 1.702  # QuickGELU(x) = x * sigmoid(1.702 x) = silu(1.702 x) / 1.702


def best_precision(source: str, device: torch.device) -> Precision:
    """Return the precision in which a teacher's products are fast and good enough on a device.

    On a GPU, half precision as in the official run: float16 for OpenAI's weights, which were trained and published in it,
    bfloat16 for others, whose activations may not fit into float16. On a CPU bfloat16 where it has the instructions. Random
    towers (``random``) stay in float32: they are small, and what is made with them should not depend on the machine.
    """
    if source == "random":
        return "fp32"
    if device.type == "cuda":
        return "fp16" if source.endswith("@openai") else "bf16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def is_plain(tower: nn.Module) -> bool:
    """Return whether a tower is what :class:`PlainTower` computes: open_clip's ViT of default blocks with GELU or QuickGELU."""
    if not isinstance(tower, VisionTransformer):
        return False
    blocks = list(tower.transformer.resblocks)
    return all(type(block) is ResidualAttentionBlock and type(block.mlp.gelu) in (nn.GELU, QuickGELU) for block in blocks)


class _Norm(nn.Module):
    def __init__(self, norm: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = _frozen(norm.weight, dtype), _frozen(norm.bias, dtype), norm.eps

    def forward(self, tokens: Tensor) -> Tensor:
        return layer_norm(tokens, self.weight.shape, self.weight, self.bias, self.eps)


class _Block(nn.Module):
    def __init__(self, block: Any, products: torch.dtype, stream: torch.dtype) -> None:
        super().__init__()
        self.products, self.heads = products, int(block.attn.num_heads)
        first, second = (getattr(scale, "gamma", torch.ones(())) for scale in (block.ls_1, block.ls_2))
        quick = type(block.mlp.gelu) is QuickGELU
        by = _QUICK if quick else 1.0
        self.norm_1, self.norm_2 = _Norm(block.ln_1, stream), _Norm(block.ln_2, stream)
        self.qkv = _frozen_map(block.attn.in_proj_weight, block.attn.in_proj_bias, products)
        out, fc1, fc2 = block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj
        self.proj = _frozen_map(out.weight * first.unsqueeze(-1), out.bias * first, products)
        self.fc1 = _frozen_map(fc1.weight * by, fc1.bias * by, products, "silu" if quick else "gelu")
        self.fc2 = _frozen_map(fc2.weight * second.unsqueeze(-1) / by, fc2.bias * second, products)

    def forward(self, stream: Tensor) -> Tensor:
        tokens = self.norm_1(stream).to(self.products)
        projected = self.qkv(tokens).view(*tokens.shape[:2], 3, self.heads, -1)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = scaled_dot_product_attention(queries, keys, values)
        stream = stream + self.proj(attended.transpose(1, 2).flatten(2))
        added: Tensor = self.fc2(self.fc1(self.norm_2(stream).to(self.products)))
        return stream + added


class PlainTower(nn.Module):
    """The tower.

    Args:
        tower: one for which :func:`is_plain`; it is not changed.
        products: precision of weights and of what is multiplied with them.
        stream: precision of the residual stream and the norms; float32 on a CPU, where it costs little and keeps bfloat16
            targets closer (docs/performance.md), ``products`` on a GPU, where it would double the memory traffic between them.
    """

    def __init__(self, tower: VisionTransformer, products: torch.dtype, stream: torch.dtype) -> None:
        super().__init__()
        self.products, self.stream, self.patch = products, stream, int(tower.patch_size[0])
        positions = tower.positional_embedding.detach()
        self.patches = _frozen_map(tower.conv1.weight.flatten(1), None, products)
        self.first = _frozen((tower.class_embedding + positions[0]).view(1, 1, -1), stream)
        self.positions = _frozen(positions[1:], stream)
        self.norm_before = nn.Identity() if isinstance(tower.ln_pre, nn.Identity) else _Norm(tower.ln_pre, stream)
        self.blocks = nn.ModuleList(_Block(block, products, stream) for block in tower.transformer.resblocks)
        self.norm_after = _Norm(tower.ln_post, stream)
        self.head = _frozen_map(tower.proj.t(), None, products)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, S, S), normalised, to tokens (N, L, T), class token first."""
        rows = self.patches(patch_pixels(images.to(self.products), self.patch)) + self.positions
        tokens = self.norm_before(torch.cat([self.first.expand(len(rows), -1, -1), rows.to(self.stream)], dim=1))
        for block in self.blocks:
            tokens = block(tokens)
        answered: Tensor = self.head(self.norm_after(tokens).to(self.products))
        return answered

    def lay_out(self, images: int = 8) -> None:
        """Lay the weights out for a CPU that answers about ``images`` images at a time; any number may follow."""
        for module in self.modules():
            if isinstance(module, FrozenLinear):
                module.lay_out(images * (1 + len(self.positions)))


def _frozen_map(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: str = "none") -> FrozenLinear:
    return FrozenLinear(_copied(weight, dtype), None if bias is None else _copied(bias, dtype), activation)


def _copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(dtype, copy=True).contiguous()


def _frozen(tensor: Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(_copied(tensor, dtype), requires_grad=False)
