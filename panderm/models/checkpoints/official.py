"""Plans for the official layouts: pretraining files, bare encoders, fine-tuned networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from panderm.models.alignment import TeacherHead
from panderm.models.checkpoints import names
from panderm.models.checkpoints.ledger import Ledger
from panderm.models.checkpoints.options import ImportOptions
from panderm.models.checkpoints.plan import Plan
from panderm.models.checkpoints.positions import CLOSE, judge, note_official
from panderm.models.checkpoints.read import Checkpoint
from panderm.models.checkpoints.sizes import (
    Keys,
    count,
    encoder_config,
    official_heads,
    read_sizes,
    regressor_config,
    regressor_heads,
    shape,
)
from panderm.models.encoder import Encoder, EncoderConfig
from panderm.models.heads import BiasedAttention, FineTunedNetwork
from panderm.models.regressor import Regressor, RegressorConfig

_REGRESSOR = ("rd_pos_embed", "mask_token", "encoder_to_regresser", "regresser.", "decoder.")
_TEACHER = ("teacher.", "teacher_network.")
_CLASS_HEAD = "a classification head of an earlier task; an encoder has none"


def shapes(module: nn.Module, prefix: str = "") -> dict[str, torch.Size]:
    """Return the shapes of a module's stored tensors under ``prefix``."""
    return {prefix + name: tensor.shape for name, tensor in module.state_dict().items()}


def _sizes(checkpoint: Checkpoint, prefix: str, heads: int) -> tuple[EncoderConfig, str]:
    keys = Keys(
        f"{prefix}patch_embed.proj.weight",
        f"{prefix}pos_embed",
        rf"{prefix}blocks\.(\d+)\.",
        f"{prefix}blocks.0.mlp.fc1.weight",
    )
    sizes = read_sizes(checkpoint.tensors, keys, checkpoint.name)
    found, source = official_heads(sizes.width, heads, checkpoint.name)
    return encoder_config(sizes, found, checkpoint.name), source


def _take_encoder(ledger: Ledger, config: EncoderConfig, prefix: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        needed = shapes(Encoder(config))
    taken = ledger.take(names.official_encoder(config.depth, prefix), needed)
    note_official(ledger, taken.get("vit.pos_embed"), f"{prefix}pos_embed", config.width)
    return taken


def plan_encoder(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    """Plan a flat file without prefix: the released base file (186 tensors), or a large one that was stripped."""
    config, source = _sizes(checkpoint, "", options.heads)
    ledger = Ledger(checkpoint)
    encoder = _take_encoder(ledger, config, "")
    ledger.keep_all("head.", _CLASS_HEAD, "head")
    return _plan(ledger, options, layout="official_encoder", architecture=config, heads_from=source, encoder=encoder)


def plan_pretraining(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    """Plan a pretraining file: encoder, regressor with mask token, head (the released large file: 458 tensors)."""
    config, source = _sizes(checkpoint, "encoder.", options.heads)
    ledger = Ledger(checkpoint)
    found: dict[str, Any] = {"encoder": _take_encoder(ledger, config, "encoder.")}
    for prefix in _TEACHER:
        ledger.leave(prefix, "a frozen copy of the teacher; the recipe names its own", "teacher")
    ledger.keep_all("encoder.head.", _CLASS_HEAD, "head")
    if options.parts == "encoder":
        for prefix in _REGRESSOR:
            ledger.leave(prefix, "only the encoder is asked for", "regressor")
    elif "mask_token" in ledger.left or any(key.startswith("regresser.") for key in ledger.left):
        found |= _take_regressor(ledger, config, options)
    return _plan(ledger, options, layout="official_pretraining", architecture=config, heads_from=source, **found)


def _take_regressor(ledger: Ledger, encoder: EncoderConfig, options: ImportOptions) -> dict[str, Any]:
    tensors, name = ledger.checkpoint.tensors, ledger.checkpoint.name
    block = "regresser.regressor_blocks"
    width = shape(tensors, "mask_token", name, 3)[-1]
    inner = shape(tensors, f"{block}.0.cross_attn.q.weight", name, 2)[0]
    heads, source = regressor_heads(inner, width, options.regressor_heads, name)
    config = regressor_config(width, count(tensors, rf"{block}\.(\d+)\."), heads, name)
    teacher = tensors["decoder.head.weight"].shape[0] if "decoder.head.weight" in tensors else None
    _check_table(ledger, config)
    moves = names.official_regressor(config.depth, width != encoder.width, teacher is not None)
    others = ledger.take(moves, regressor_shapes(config, encoder, teacher))
    ledger.keep_all("regresser.norm.", "unused by this recipe: no output passes it", "regressor blocks")
    if teacher is None:
        ledger.notes.append(
            "the file has no head to the teacher's space (decoder.*); a training that goes on begins with a new one"
        )
    return {"regressor": config, "regressor_heads_from": source, "teacher_width": teacher, "others": others}


def regressor_shapes(config: RegressorConfig, encoder: EncoderConfig, teacher_width: int | None) -> dict[str, torch.Size]:
    """Return the shapes of ``regressor.safetensors``: regressor and, with a teacher's width, head."""
    with torch.device("meta"):
        needed = shapes(Regressor(config, encoder.width, encoder.grid), "regressor.")
        return needed | (shapes(TeacherHead(config.width, teacher_width), "head.") if teacher_width else {})


def _check_table(ledger: Ledger, config: RegressorConfig) -> None:
    """The regressor computes its table; the file's is kept aside for an export, and refused if it is another one."""
    key = "rd_pos_embed"
    table = ledger.left.get(key)
    if table is None:
        return
    difference = judge(table, config.width, ledger.checkpoint.stored.get(key)) if table.ndim == 3 else float("inf")
    if difference > CLOSE:
        ledger.stop(
            key, f"differs from the sin-cos table by {difference:.1e}, and our regressor knows no other", "regressor blocks"
        )
    else:
        ledger.keep(key, f"computed here, largest difference {difference:.1e}", "regressor blocks")


def plan_fine_tuned(checkpoint: Checkpoint, options: ImportOptions) -> Plan:
    """Plan an official fine-tuned network: no final norm, ``fc_norm`` and ``head`` behind the pooling, tables in each block."""
    tensors, name = checkpoint.tensors, checkpoint.name
    tables = [key for key in tensors if key.endswith("relative_position_bias_table")]
    told = tensors[tables[0]].shape[-1] if tables else 0
    config, source = _sizes(checkpoint, "", options.heads or told)
    classes = shape(tensors, "head.weight", name, 2)[0]
    with torch.device("meta"):
        needed = shapes(FineTunedNetwork(config, classes, relative_position_bias=bool(tables)))
    ledger = Ledger(checkpoint)
    network = ledger.take(names.official_fine_tuned(config.depth, bool(tables)), needed)
    note_official(ledger, network.get("encoder.vit.pos_embed"), "pos_embed", config.width)
    _check_index(ledger, config)
    return _plan(
        ledger,
        options,
        layout="official_fine_tuned",
        architecture=config,
        heads_from="the relative position tables" if told and not options.heads else source,
        network=network,
        classes=classes,
        biased=bool(tables),
    )


def _check_index(ledger: Ledger, config: EncoderConfig) -> None:
    ours = BiasedAttention(nn.Identity(), config.grid, config.heads).index
    for key in [key for key in ledger.left if key.endswith(".attn.relative_position_index")]:
        if torch.equal(ledger.left[key], ours):
            ledger.leave(key, "computed here, the same values", "blocks")
        else:
            ledger.stop(key, "numbers the relative positions otherwise than BEiT's layout", "blocks")


def _plan(ledger: Ledger, options: ImportOptions, **found: Any) -> Plan:
    ledger.close()
    if options.image_size or options.positions != "keep":
        ledger.problems.append(
            "--image-size and --positions are for timm and open_clip weights; an official table stays as it is"
        )
    return close(ledger, **found)


def close(ledger: Ledger, **found: Any) -> Plan:
    """Return the plan of a ledger in which every key is accounted for."""
    assert not ledger.left
    told: dict[str, Any] = {"rows": ledger.rows, "notes": ledger.notes, "problems": ledger.problems, "aside": ledger.aside}
    return Plan(checkpoint=ledger.checkpoint, **told, **found)
