"""A network spread over processes, whole copies (DDP) or shards (FSDP2), and how its tensors become whole again.

``ddp``: every process holds weights, gradients and AdamW's moments, 16 bytes a parameter in float32. ``fsdp``: each holds
one part of w of them, and a block's weights are put together only while it computes; for encoders that do not fit. States
are written from whole tensors either way, so that each mode, and any number of processes, goes on from the other's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from panderm.models.alignment import MaskedAlignment
from panderm.training.place import Place

Mode = Literal["ddp", "fsdp"]


def shard(model: MaskedAlignment, place: Place, half: bool, compiled: bool = False) -> None:
    """Spread parameters over all processes in place (FSDP2), block by block; call it before the optimiser is built.

    In half precision on a GPU blocks travel and compute in bfloat16, gradients are summed in float32 and the shards that AdamW
    updates are float32; on a CPU, whose norms take no bfloat16 weights with float32 tokens, they travel in float32. Activations
    keep the types that autocast gives them, so that the residual stream is the one of DDP. The frozen position table is left
    whole: it has no gradient, and rounding it would move every token.

    Args:
        model: the same weights in every process (they follow from the recipe's seed).
        place: this process, of several.
        half: whether products are bfloat16 (:meth:`panderm.training.place.Place.half`).
        compiled: compile each block; a graph over all of it would end at every block's gathering anyway.
    """
    travels = half and place.device.type == "cuda"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if travels else None,
        reduce_dtype=torch.float32 if travels else None,
        cast_forward_inputs=False,
    )
    mesh = init_device_mesh(place.device.type, (place.world,))
    for block in [*model.encoder.vit.blocks, *model.regressor.blocks]:
        if compiled:
            block.compile()
        fully_shard(block, mesh=mesh, mp_policy=policy)
    frozen = {parameter for parameter in model.parameters() if not parameter.requires_grad}
    fully_shard(model, mesh=mesh, mp_policy=policy, ignored_params=frozen)


def replicate(student: nn.Module, place: Place) -> nn.Module:
    """Return the network wrapped so that its gradients are means over all processes (DDP).

    Every parameter takes part in every step, so nothing has to be searched for; buffers are constants, so they stay at home;
    gradients are views of the buckets that travel, which saves a copy of each.
    """
    devices = [place.device.index] if place.device.type == "cuda" else None
    return DistributedDataParallel(student, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor as one piece; every process must ask for a sharded one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(named: Iterable[tuple[str, Tensor]], keep: bool) -> dict[str, Tensor]:
    """Return whole tensors by name on the CPU; every process must call this with the same names in the same order.

    Args:
        named: tensors, sharded or not; one at a time is whole on the device.
        keep: whether this process wants them; without, nothing is held and the result is empty.
    """
    kept = {}
    for name, tensor in named:
        piece = whole(tensor.detach())
        if keep:
            kept[name] = piece.to("cpu").contiguous()
    return kept


def spread_as(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this process's share of a whole tensor that every process has, placed as ``like`` is."""
    moved = tensor.to(like.device)
    if not isinstance(like, DTensor):
        return moved
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)  # nothing travels
