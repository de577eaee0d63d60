"""The key tables: every tensor of ours and what the official code, timm and open_clip call it, in their order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from panderm.models.checkpoints.moves import NO_KEY, QUERY_VALUE, SAME, TABLE, TOKEN, Move, layer, same


def _ones(shape: torch.Size) -> Tensor:
    return torch.ones(shape)


def official_encoder(depth: int, prefix: str, ours: str = "vit.", *, final_norm: bool = True) -> list[Move]:
    """Return the moves of an official encoder: 15 keys a block, 6 more, of which 2 are the final norm's.

    Args:
        depth: blocks.
        prefix: of their keys (``encoder.`` in pretraining files).
        ours: prefix of our names.
        final_norm: whether it has one (fine-tuned networks do not).
    """
    moves = same([(f"{ours}cls_token", f"{prefix}cls_token"), (f"{ours}pos_embed", f"{prefix}pos_embed")])
    moves += layer(f"{ours}patch_embed.proj", f"{prefix}patch_embed.proj")
    for number in range(depth):
        moves += _official_block(f"{ours}blocks.{number}", f"{prefix}blocks.{number}", "attn")
    return moves + (layer(f"{ours}norm", f"{prefix}norm") if final_norm else [])


def _official_block(ours: str, theirs: str, attention: str) -> list[Move]:
    return [
        *same((f"{ours}.ls{n}.gamma", f"{theirs}.gamma_{n}") for n in (1, 2)),
        *layer(f"{ours}.norm1", f"{theirs}.norm1"),
        Move(f"{ours}.{attention}.qkv.bias", (f"{theirs}.attn.q_bias", f"{theirs}.attn.v_bias"), QUERY_VALUE),
        *same([(f"{ours}.{attention}.qkv.weight", f"{theirs}.attn.qkv.weight")]),
        *layer(f"{ours}.{attention}.proj", f"{theirs}.attn.proj"),
        *layer(f"{ours}.norm2", f"{theirs}.norm2"),
        *layer(f"{ours}.mlp.fc1", f"{theirs}.mlp.fc1"),
        *layer(f"{ours}.mlp.fc2", f"{theirs}.mlp.fc2"),
    ]


def official_fine_tuned(depth: int, biased: bool) -> list[Move]:
    """Return the moves of an official fine-tuned network, to :class:`panderm.models.heads.FineTunedNetwork`."""
    moves = official_encoder(depth, "", "encoder.vit.", final_norm=False)
    if biased:
        moves = [_inside(move) for move in moves]
        for number in range(depth):
            key = f"blocks.{number}.attn.relative_position_bias_table"
            moves.append(Move(f"encoder.vit.blocks.{number}.attn.bias_table", (key,), SAME))
    return moves + layer("fc_norm", "fc_norm") + layer("head", "head")


def _inside(move: Move) -> Move:
    return Move(move.ours.replace(".attn.", ".attn.attention."), move.theirs, move.form)


def official_regressor(depth: int, entry: bool, head: bool) -> list[Move]:
    """Return the moves of mask token, regressor (21 keys a block) and head; ours are the names of ``regressor.safetensors``.

    Args:
        depth: blocks.
        entry: whether a linear map and a norm stand between encoder and regressor (their widths differ).
        head: whether the file has the map to the teacher's space.
    """
    moves = same([("regressor.mask_token", "mask_token")])
    if entry:
        moves += layer("regressor.entry.0", "encoder_to_regresser") + layer("regressor.entry.1", "encoder_to_regresser_norm")
    for number in range(depth):
        moves += _regressor_block(f"regressor.blocks.{number}", f"regresser.regressor_blocks.{number}")
    return moves + (layer("head.norm", "decoder.norm") + layer("head.linear", "decoder.head") if head else [])


def _regressor_block(ours: str, theirs: str) -> list[Move]:
    moves = same((f"{ours}.scale_{n}", f"{theirs}.gamma_{n}_cross") for n in (1, 2))
    for mine, name in (("norm_q", "norm1_q"), ("norm_k", "norm1_k"), ("norm_v", "norm1_v")):
        moves += layer(f"{ours}.{mine}", f"{theirs}.{name}")
    moves += layer(f"{ours}.norm_2", f"{theirs}.norm2_cross")
    attention = f"{theirs}.cross_attn"
    moves += same((f"{ours}.attention.{part}.bias", f"{attention}.{part}_bias") for part in ("q", "v"))
    moves += same((f"{ours}.attention.{part}.weight", f"{attention}.{part}.weight") for part in ("q", "k", "v"))
    moves += layer(f"{ours}.attention.proj", f"{attention}.proj")
    return moves + layer(f"{ours}.mlp.fc1", f"{theirs}.mlp_cross.fc1") + layer(f"{ours}.mlp.fc2", f"{theirs}.mlp_cross.fc2")


def timm_vit(names: list[str], prefix: str = "", norm: str = "norm") -> Iterator[Move]:
    """Yield the moves of a timm ViT; our encoder keeps timm's names, so ``names`` are those of our tensors.

    Args:
        names: tensors of our encoder.
        prefix: of their keys (``visual.trunk.`` in open_clip's adapter).
        norm: what the final norm is called (``fc_norm`` where timm norms behind the pooling).
    """
    for ours in names:
        name = ours.removeprefix("vit.")
        theirs = prefix + (f"{norm}.{name.removeprefix('norm.')}" if name.startswith("norm.") else name)
        if ours.endswith("attn.qkv.bias"):
            yield Move(ours, (theirs,), NO_KEY, torch.zeros, "the file has no qkv bias: zeros")
        elif ours.endswith(".gamma"):
            yield Move(ours, (theirs,), SAME, _ones, "the file has no LayerScale: ones, which change nothing")
        else:
            yield Move(ours, (theirs,), SAME)


def open_clip_vit(depth: int, prefix: str) -> Iterator[Move]:
    """Yield the moves of an open_clip image tower (CLIP's own ViT)."""
    yield Move("vit.cls_token", (f"{prefix}class_embedding",), TOKEN)
    yield Move("vit.pos_embed", (f"{prefix}positional_embedding",), TABLE)
    yield Move("vit.patch_embed.proj.weight", (f"{prefix}conv1.weight",), SAME)
    yield from layer("vit.norm_pre", f"{prefix}ln_pre")
    for number in range(depth):
        ours, theirs = f"vit.blocks.{number}", f"{prefix}transformer.resblocks.{number}"
        yield from layer(f"{ours}.norm1", f"{theirs}.ln_1")
        yield Move(f"{ours}.attn.qkv.weight", (f"{theirs}.attn.in_proj_weight",), SAME)
        yield Move(f"{ours}.attn.qkv.bias", (f"{theirs}.attn.in_proj_bias",), NO_KEY)
        yield from layer(f"{ours}.attn.proj", f"{theirs}.attn.out_proj")
        yield from layer(f"{ours}.norm2", f"{theirs}.ln_2")
        yield from layer(f"{ours}.mlp.fc1", f"{theirs}.mlp.c_fc")
        yield from layer(f"{ours}.mlp.fc2", f"{theirs}.mlp.c_proj")
        for n in (1, 2):
            note = "the file has no LayerScale: ones, which change nothing"
            yield Move(f"{ours}.ls{n}.gamma", (f"{theirs}.ls_{n}.gamma",), SAME, _ones, note)
    yield from layer("vit.norm", f"{prefix}ln_post")
