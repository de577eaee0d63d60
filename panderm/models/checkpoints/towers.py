"""Plans for timm ViTs and open_clip image towers: starts for pretraining, and encoders to compare with."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from panderm.core.errors import InputError
from panderm.models.checkpoints import names
from panderm.models.checkpoints.ledger import Ledger
from panderm.models.checkpoints.moves import Move
from panderm.models.checkpoints.official import close, shapes
from panderm.models.checkpoints.options import ImportOptions
from panderm.models.checkpoints.plan import Plan
from panderm.models.checkpoints.positions import place_learnt
from panderm.models.checkpoints.read import OPENAI, Checkpoint
from panderm.models.checkpoints.sizes import Keys, Sizes, encoder_config, read_sizes, usual_heads
from panderm.models.encoder import Encoder, EncoderConfig

_TEXT = (
    "text.",
    "transformer.",
    "token_embedding.",
    "positional_embedding",
    "ln_final.",
    "text_projection",
    "logit_scale",
    "logit_bias",
    "attn_mask",
    *OPENAI,
)
_CLIP_EPS = 1e-5  # torch's own default, which CLIP's towers keep


def plan_timm(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    """Plan a timm ViT, bare or as the trunk of an open_clip model."""
    tensors = checkpoint.tensors
    prefix = next((p for p in ("visual.trunk.", "trunk.") if f"{p}blocks.0.attn.qkv.weight" in tensors), "")
    keys = Keys(
        f"{prefix}patch_embed.proj.weight",
        f"{prefix}pos_embed",
        rf"{prefix}blocks\.(\d+)\.",
        f"{prefix}blocks.0.mlp.fc1.weight",
    )
    sizes = read_sizes(tensors, keys, checkpoint.name)
    heads, source = usual_heads(sizes.width, options.heads, checkpoint.name)
    clip = {"pre_norm": True, "norm_eps": _CLIP_EPS} if f"{prefix}norm_pre.weight" in tensors else {}
    quick = {"activation": "quick_gelu"} if options.activation == "quick_gelu" else {}
    scale = 0.1 if f"{prefix}blocks.0.ls1.gamma" in tensors else 1.0
    config = encoder_config(sizes, heads, checkpoint.name, scale, **clip, **quick)
    ledger = Ledger(checkpoint)
    if clip:
        _note_activation(ledger, config)
    if prefix:
        _leave_text(ledger)
        ledger.keep_all("visual.head.", "the map to the text's space; an encoder has none", "projection")
    norm = "norm" if f"{prefix}norm.weight" in tensors or f"{prefix}fc_norm.weight" not in tensors else "fc_norm"
    if norm == "fc_norm":
        ledger.notes.append("fc_norm, which timm applies behind the pooling, becomes the final norm of every token")
    moves = list(names.timm_vit(list(_needed(config)), prefix, norm))
    encoder = _take(ledger, moves, config)
    for head in ("head.", "head_dist."):
        ledger.keep_all(prefix + head, "a classification head of an earlier task; an encoder has none", "head")
    return _finish(ledger, options, sizes, config, keys.positions, encoder, layout="timm", heads_from=source)


def plan_open_clip(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    """Plan CLIP's own ViT, in a whole model (``visual.``) or alone."""
    tensors = checkpoint.tensors
    prefix = "visual." if "visual.conv1.weight" in tensors else ""
    keys = Keys(
        f"{prefix}conv1.weight",
        f"{prefix}positional_embedding",
        rf"{prefix}transformer\.resblocks\.(\d+)\.",
        f"{prefix}transformer.resblocks.0.mlp.c_fc.weight",
    )
    sizes = read_sizes(tensors, keys, checkpoint.name)
    heads, source = usual_heads(sizes.width, options.heads, checkpoint.name)
    quick = checkpoint.openai if options.activation == "auto" else options.activation == "quick_gelu"
    config = encoder_config(
        sizes,
        heads,
        checkpoint.name,
        1.0,
        pre_norm=True,
        norm_eps=_CLIP_EPS,
        activation="quick_gelu" if quick else "gelu",
    )
    ledger = Ledger(checkpoint)
    _note_activation(ledger, config)
    encoder = _take(ledger, list(names.open_clip_vit(config.depth, prefix)), config)
    ledger.keep(f"{prefix}proj", "the projection to the text's space; features are taken before it", "projection")
    if prefix:
        _leave_text(ledger)
    return _finish(ledger, options, sizes, config, keys.positions, encoder, layout="open_clip", heads_from=source)


def _note_activation(ledger: Ledger, config: EncoderConfig) -> None:
    """CLIP's towers have one or the other, and timm's copies of OpenAI's weights are called quickgelu where they have that."""
    ledger.notes.append(
        f"the MLPs' activation is taken to be {config.activation}, as no tensor tells; --activation says otherwise"
    )


def _leave_text(ledger: Ledger) -> None:
    for prefix in _TEXT:
        ledger.leave(prefix, "the text half of the model", "text half")


def _needed(config: EncoderConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return shapes(Encoder(config))


def _take(ledger: Ledger, moves: list[Move], config: EncoderConfig) -> dict[str, Tensor]:
    for move in moves:
        if move.ours == "vit.pos_embed":
            _lift_table(ledger, move.theirs[0], config)
    return ledger.take(moves, _needed(config))


def _lift_table(ledger: Ledger, key: str, config: EncoderConfig) -> None:
    """Give a table without a class row (timm's no_embed_class) a zero one."""
    table = ledger.left[key]
    if table.shape[-2] == config.grid**2:
        ledger.left[key] = torch.cat([table.new_zeros(*table.shape[:-2], 1, table.shape[-1]), table], dim=-2)
        ledger.notes.append(f"{key} has no row for the class token: zeros")


def _finish(
    ledger: Ledger,
    options: ImportOptions,
    sizes: Sizes,
    config: EncoderConfig,
    key: str,
    encoder: dict[str, Tensor],
    **found: Any,
) -> Plan:
    ledger.close()
    size = options.image_size or sizes.image
    if size % config.patch_size:
        raise InputError(
            f"--image-size {size} is not a multiple of the patch side {config.patch_size} of {ledger.checkpoint.name}; "
            f"{math.ceil(size / config.patch_size) * config.patch_size} is"
        )
    grid = size // config.patch_size
    if "vit.pos_embed" in encoder:
        encoder["vit.pos_embed"] = place_learnt(ledger, encoder["vit.pos_embed"], key, grid, options.positions)
    return close(ledger, architecture=config.model_copy(update={"image_size": size}), encoder=encoder, **found)
