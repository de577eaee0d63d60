"""The way back: a folder of ours as an official or timm file, bit for bit what was imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from panderm.core.errors import InputError
from panderm.core.files import writing
from panderm.models.checkpoints import names
from panderm.models.checkpoints.moves import undo
from panderm.models.checkpoints.regressor_file import REGRESSOR_NAME, load_regressor
from panderm.models.checkpoints.write import ASIDE_NAME
from panderm.models.encoder import CARD_NAME, EncoderCard, load_encoder, position_table
from panderm.models.task_model import MODEL_NAME, load_task_model

Format = Literal["official-large", "official-base", "official-fine-tuned", "timm"]
FORMATS: tuple[Format, ...] = ("official-large", "official-base", "official-fine-tuned", "timm")


def export_checkpoint(folder: Path, form: Format, file: Path) -> str:
    """Write a folder's weights in another project's layout.

    Args:
        folder: an encoder folder, or for ``official-fine-tuned`` a task model folder.
        form: ``official-large`` (prefix ``encoder.``, with regressor and head: 458 tensors at the paper's size),
            ``official-base`` (encoder without prefix: 186), ``official-fine-tuned`` (nested under ``model``), ``timm``.
        file: ``.safetensors`` or a torch file; replaced.

    Returns:
        The licence that holds for the file, empty if the folder names none.

    Raises:
        InputError: the folder holds no such weights, or the layout cannot hold them.
    """
    if form == "official-fine-tuned":
        tensors, licence = _fine_tuned(folder)
        _write({"model": tensors} if file.suffix != ".safetensors" else tensors, file)
        return licence
    if not (folder / CARD_NAME).is_file():
        raise InputError(f"{folder} has no {CARD_NAME}; name an encoder's folder, or take --format official-fine-tuned")
    encoder, card = load_encoder(folder)
    ours = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    if form == "timm":
        _write(undo(names.timm_vit(list(ours)), ours), file)
        return card.licence
    _refuse_clip(folder, card)
    depth, prefix = card.architecture.depth, "encoder." if form == "official-large" else ""
    official = undo(names.official_encoder(depth, prefix), ours)
    _write(_pretraining(folder, card, official) if prefix else official, file)
    return card.licence


def _refuse_clip(folder: Path, card: EncoderCard) -> None:
    plain = card.architecture
    if plain.pre_norm or plain.activation != "gelu" or plain.norm_eps != 1e-6:
        raise InputError(f"{folder} holds a CLIP tower (pre-norm, {plain.activation}), which the official layout cannot hold")


def _pretraining(folder: Path, card: EncoderCard, encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the large layout: what was kept aside, else what our modules compute, then encoder, regressor, head."""
    if not (folder / REGRESSOR_NAME).is_file():
        raise InputError(f"{folder} has no {REGRESSOR_NAME}, which official-large needs; take --format official-base")
    others = load_regressor(folder)
    width = others["regressor.mask_token"].shape[-1]
    depth = 1 + max(int(name.split(".")[2]) for name in others if name.startswith("regressor.blocks."))
    moves = names.official_regressor(depth, "regressor.entry.0.weight" in others, "head.linear.weight" in others)
    regressor = undo(moves, others)
    beside = {
        "rd_pos_embed": position_table(card.architecture.grid, width),
        "regresser.norm.weight": torch.ones(width),  # unused in this recipe; its initial values
        "regresser.norm.bias": torch.zeros(width),
    }
    if (folder / ASIDE_NAME).is_file():
        beside |= load_file(folder / ASIDE_NAME)
    token = {"rd_pos_embed": beside.pop("rd_pos_embed"), "mask_token": regressor.pop("mask_token")}
    decoder = {key: regressor.pop(key) for key in list(regressor) if key.startswith("decoder.")}
    return token | encoder | regressor | beside | decoder


def _fine_tuned(folder: Path) -> tuple[dict[str, Tensor], str]:
    if not (folder / MODEL_NAME).is_file():
        raise InputError(f"{folder} has no {MODEL_NAME}; name a task model's folder")
    model = load_task_model(folder)
    if model.network is None:
        raise InputError(f"{folder} holds a linear probe; only fine-tuned networks have an official layout")
    ours = {name: tensor.detach() for name, tensor in model.network.state_dict().items()}
    depth, biased = model.card.architecture.depth, model.card.relative_position_bias
    tensors = undo(names.official_fine_tuned(depth, biased), ours)
    if biased:
        index = model.network.encoder.vit.blocks[0].get_submodule("attn").index
        tensors |= {f"blocks.{number}.attn.relative_position_index": index.clone() for number in range(depth)}  # type: ignore[operator]
    return tensors, model.card.licence


def _write(tensors: dict[str, Any], file: Path) -> None:
    with writing(file) as aside:
        if file.suffix == ".safetensors":
            save_file(tensors, aside, metadata={"format": "pt"})
            return
        with aside.open("wb") as stream:  # a stream, as torch writes a path's name into the archive
            torch.save(tensors, stream)
