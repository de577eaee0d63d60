from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor

from panderm.models.residual import EncoderBlock, Part, residual


def pair(drop: float) -> tuple[Block, EncoderBlock]:
    torch.manual_seed(0)
    theirs = Block(16, 2, qkv_bias=True, init_values=0.5, drop_path=drop)
    ours = EncoderBlock(16, 2, qkv_bias=True, init_values=0.5, drop_path=drop)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def outcome(block: Block, x: Tensor) -> list[Tensor]:
    torch.manual_seed(3)
    x = x.clone().requires_grad_()
    out = block(x)
    return [out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])]


def test_encoder_block__is_timms_block_with_the_same_draws() -> None:
    x = torch.randn(6, 5, 16, generator=torch.Generator().manual_seed(1))
    for drop in (0.0, 0.5, 0.97):  # the last leaves nearly all out
        theirs, ours = pair(drop)
        for found, expected in zip(outcome(ours, x), outcome(theirs, x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_encoder_block__drops_nothing_outside_of_training() -> None:
    theirs, ours = pair(0.5)
    x = torch.randn(3, 5, 16)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_residual__does_not_compute_what_is_left_out() -> None:
    seen = []

    def branch(stream: Tensor, other: Tensor) -> Tensor:
        seen.append((len(stream), other.flatten().tolist()))
        return stream * 0 + 1

    torch.manual_seed(0)
    others = torch.arange(8.0).view(8, 1, 1)
    out = residual(torch.zeros(8, 2, 3), branch, torch.ones(3), 0.5, others)
    kept = [index for index in range(8) if out[index].any()]
    assert 0 < len(kept) < 8
    assert seen == [(len(kept), [float(index) for index in kept])]
    assert torch.equal(out[kept], torch.full((len(kept), 2, 3), 2.0))  # 1 / (1 - 0.5)


@pytest.mark.parametrize("compiled", [False, True])
def test_residual__parts_of_a_batch_get_the_draws_of_the_whole(compiled: bool) -> None:
    """Three processes with two images each: every image is kept or left out as by one process with all six."""
    _, block = pair(0.5)
    x = torch.randn(6, 5, 16, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(3)
    whole = block(x)
    parts = []
    for rank in range(3):
        block.part = Part(rank, 3)
        torch.manual_seed(3)
        run: Any = torch.compile(block, backend="aot_eager", fullgraph=True) if compiled else block
        parts.append(run(x[2 * rank : 2 * rank + 2]))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-5, atol=1e-6)
    assert not torch.equal(whole[0], block.eval()(x)[0])  # so that there was something to draw
