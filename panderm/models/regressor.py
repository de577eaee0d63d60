"""The latent regressor: predicts the latents of masked patches from visible ones by cross-attention (CAE v2 recipe).

After Context Autoencoder v2 (arXiv 2211.09799) as PanDerm (arXiv 2410.15038) uses it; written from the described
equations. Two things differ from a usual decoder: positions are added to queries and keys only, never to the stream,
and the residual stream itself is replaced by its normalised copy before each MLP.

Shapes: N images, K visible, M masked patches, D encoder width, R regressor width, A = heads * (R // heads).
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from panderm.core.config import FrozenConfig
from panderm.models.encoder import gather_rows, initialise, initialise_token, position_table, run_block
from panderm.models.linear import linear, route_linears
from panderm.models.residual import WHOLE, drop_rate, residual

_GPU_HEAD = 8  # 16 bytes of bfloat16


class RegressorConfig(FrozenConfig):
    """The regressor; the defaults are the paper's large model as far as it is known.

    Attributes:
        width: R; where it differs from the encoder's width, a linear map and a norm stand between the two.
        depth: blocks (4: CAE v2 base and PanDerm).
        heads: attention heads. PanDerm's large regressor has 12 of 85 channels (A = 1020 of 1024): heads need not divide
            the width.
        layer_scale: initial LayerScale (0.1 whatever the encoder's, as in the official model).
        drop_path: stochastic depth, rising linearly over the blocks (0.1: CAE v2 scripts; the paper's is not public).
    """

    width: int = Field(default=1024, gt=0)
    depth: int = Field(default=4, gt=0)
    heads: int = Field(default=12, gt=0)
    layer_scale: float = Field(default=0.1, gt=0)
    drop_path: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> RegressorConfig:
        if self.width % 4 or self.heads > self.width:
            raise ValueError(f"width {self.width} is not a multiple of 4 or smaller than heads ({self.heads})")
        return self


class CrossAttention(nn.Module):
    """Attention of queries over keys and values; q and v have a bias, k has none, the inner width A may be below R."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        inner = heads * self.head_width
        self.q = nn.Linear(width, inner)
        self.k = nn.Linear(width, inner, bias=False)
        self.v = nn.Linear(width, inner)
        self.proj = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from (N, M, R) over (N, K + M, R); return (N, M, R).

        GPUs multiply matrices much faster whose rows are a multiple of 16 bytes. PanDerm's heads of 85 are not, so they are
        filled up with channels of zero there, which change no score and no sum.
        """
        spare = -self.head_width % _GPU_HEAD if queries.is_cuda else 0
        attended = scaled_dot_product_attention(
            self._heads(self.q, queries, spare),
            self._heads(self.k, keys, spare),
            self._heads(self.v, values, spare),
            scale=self.head_width**-0.5,
        )
        weight: Tensor = self.proj.weight
        if spare:
            weight = pad(weight.view(-1, self.heads, self.head_width), (0, spare)).flatten(1)
        return linear(attended.transpose(1, 2).flatten(2), weight, self.proj.bias)

    def _heads(self, layer: nn.Linear, tokens: Tensor, spare: int) -> Tensor:
        weight: Tensor = layer.weight
        bias: Tensor | None = layer.bias
        if spare:
            weight = pad(weight.view(self.heads, self.head_width, -1), (0, 0, 0, spare)).flatten(0, 1)
            bias = None if bias is None else pad(bias.view(self.heads, self.head_width), (0, spare)).flatten()
        mapped = linear(tokens, weight, bias)
        return mapped.view(*mapped.shape[:-1], self.heads, -1).transpose(1, 2)


class RegressorBlock(nn.Module):
    """One block: masked stream y, visible latents z, position rows of both.

    Attributes:
        part: which of the global batch it sees.
    """

    part = WHOLE

    def __init__(self, config: RegressorConfig, drop_path: float) -> None:
        super().__init__()
        width = config.width
        self.norm_q = nn.LayerNorm(width, eps=1e-6)
        self.norm_k = nn.LayerNorm(width, eps=1e-6)
        self.norm_v = nn.LayerNorm(width, eps=1e-6)
        self.attention = CrossAttention(width, config.heads)
        self.scale_1 = nn.Parameter(torch.full((width,), config.layer_scale))
        self.norm_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)
        self.scale_2 = nn.Parameter(torch.full((width,), config.layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, masked: Tensor, visible: Tensor, masked_positions: Tensor, placed: Tensor) -> Tensor:
        """Refresh the masked stream.

        Args:
            masked: y, (N, M, R).
            visible: z, (N, K, R), the same in every block.
            masked_positions: position rows of the masked patches, (N, M, R).
            placed: z with the position rows of the visible patches added, (N, K, R).
        """
        drop = drop_rate(self.drop_path)
        masked = residual(masked, self._attended, self.scale_1, drop, visible, masked_positions, placed, part=self.part)
        return residual(self.norm_2(masked), self.mlp, self.scale_2, drop, part=self.part)

    def _attended(self, masked: Tensor, visible: Tensor, masked_positions: Tensor, placed: Tensor) -> Tensor:
        queries = masked + masked_positions
        keys, values = torch.cat([placed, queries], dim=1), torch.cat([visible, masked], dim=1)
        attended: Tensor = self.attention(self.norm_q(queries), self.norm_k(keys), self.norm_v(values))
        return attended


class Regressor(nn.Module):
    """Predict masked latents from visible ones.

    Args:
        config: the architecture.
        encoder_width: D.
        grid: side of the patch grid.

    Attributes:
        checkpointing: as the encoder's.
    """

    positions: Tensor

    def __init__(self, config: RegressorConfig, encoder_width: int, grid: int) -> None:
        super().__init__()
        self.config = config
        self.entry: nn.Module = nn.Identity()
        if config.width != encoder_width:
            self.entry = nn.Sequential(nn.Linear(encoder_width, config.width), nn.LayerNorm(config.width, eps=1e-6))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        rates = [config.drop_path * number / max(1, config.depth - 1) for number in range(config.depth)]
        self.blocks = nn.ModuleList(RegressorBlock(config, rate) for rate in rates)
        self.register_buffer("positions", position_table(grid, config.width)[:, 1:], persistent=False)
        self.checkpointing = False
        route_linears(self)
        self.apply(initialise)
        initialise_token(self.mask_token)

    def forward(self, visible: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Predict the masked latents.

        Args:
            visible: (N, K, R) visible latents after :attr:`entry`, without the class token.
            keep: (N, K) indices of the visible patches.
            masked: (N, M) indices of the masked patches.

        Returns:
            (N, M, R), in the order of ``masked``.
        """
        table = self.positions.expand(visible.shape[0], -1, -1)
        masked_positions, placed = gather_rows(table, masked), visible + gather_rows(table, keep)
        stream = self.mask_token.expand(*masked.shape, -1)
        for block in self.blocks:
            stream = run_block(block, self.checkpointing, stream, visible, masked_positions, placed)
        return stream
