"""The residual step of a transformer with LayerScale and stochastic depth, and the encoder's block that is made of two.

timm's own block multiplies by the scale, multiplies by the draw and adds: three passes over the stream, which matter on a GPU,
and it computes what a draw of zero then throws away, which matters on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn


class Part(NamedTuple):
    """Which of ``world`` equal parts of a global batch a process has, the ``rank``-th."""

    rank: int
    world: int


WHOLE = Part(0, 1)


def residual(
    stream: Tensor, branch: Callable[..., Tensor], scale: Tensor, drop: float, *others: Tensor, part: Part = WHOLE
) -> Tensor:
    """Return ``stream + scale * branch(stream, *others)``, left out for a share ``drop`` of the images.

    One draw an image, the same draws as timm's ``DropPath``; what stays is divided by ``1 - drop``. On a CPU the branch is not
    computed for the images it is left out for. On a GPU that would mean waiting for the draws and shapes that change.

    Draws are those of the global batch, of which this process takes its own, so that processes with the same generator leave
    out what one process would.

    Args:
        stream: (N, L, D).
        branch: maps (n, L, D), and as many images of each of ``others``, to (n, L, D), image by image.
        scale: (D,).
        drop: probability in [0, 1); 0 outside of training.
        others: more of the branch's inputs, N images each.
        part: which of the global batch the N images are.
    """
    if not drop:
        return torch.addcmul(stream, branch(stream, *others), scale)
    count = stream.shape[0]
    stays = stream.new_empty(count * part.world).bernoulli_(1 - drop).narrow(0, count * part.rank, count)
    if stream.device.type == "cpu" and not torch.compiler.is_compiling():
        rows = stays.nonzero().flatten()
        if 0 < len(rows) < len(stays):  # with no image at all, every weight should still get its gradient of zero
            some = (tensor.index_select(0, rows) for tensor in (stream, *others))
            return stream.index_add(0, rows, branch(*some) * (scale / (1 - drop)))
    return torch.addcmul(stream, branch(stream, *others), scale * (stays / (1 - drop)).view(-1, 1, 1))


def drop_rate(drop_path: nn.Module) -> float:
    """Return how often a ``DropPath`` leaves out a branch now: 0 outside of training, and for the identity in its place."""
    return float(getattr(drop_path, "drop_prob", 0.0) or 0.0) if drop_path.training else 0.0


class EncoderBlock(Block):
    """timm's block, same parameters and names, in fewer passes.

    Attributes:
        part: which of the global batch it sees.
    """

    part = WHOLE

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Map tokens (N, L, D) to (N, L, D); timm's mask arguments are not used by the encoder."""
        assert attn_mask is None
        assert not is_causal
        first, second = self.get_parameter("ls1.gamma"), self.get_parameter("ls2.gamma")
        x = residual(x, lambda some: self.attn(self.norm1(some)), first, drop_rate(self.drop_path1), part=self.part)
        return residual(x, lambda some: self.mlp(self.norm2(some)), second, drop_rate(self.drop_path2), part=self.part)
