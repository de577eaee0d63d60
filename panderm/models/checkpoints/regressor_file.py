"""``regressor.safetensors``: regressor, mask token and head of a pretraining, and the card that says their sizes.

A finished training of ours has the file alone (its recipe stands in ``record.json``); an import writes ``regressor.json`` too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json, writing
from panderm.core.record import RECORD_NAME
from panderm.models.regressor import RegressorConfig

REGRESSOR_NAME, REGRESSOR_CARD = "regressor.safetensors", "regressor.json"


class RegressorCard(FrozenConfig):
    """``regressor.json``.

    Attributes:
        architecture: of the regressor.
        encoder_width: D of the encoder it belongs to.
        grid: side of the patch grid.
        teacher_width: T of the head, None where the file has no head.
        sha256: of ``regressor.safetensors``.
    """

    architecture: RegressorConfig
    encoder_width: int = Field(gt=0)
    grid: int = Field(gt=0)
    teacher_width: int | None = None
    sha256: str = ""


def save_regressor(folder: Path, tensors: dict[str, Tensor], card: RegressorCard) -> RegressorCard:
    """Write tensors (``regressor.*`` and ``head.*``) and card; return the card with the weights' sha256."""
    path = folder / REGRESSOR_NAME
    with writing(path) as aside:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside, metadata={"format": "pt"})
    card = card.model_copy(update={"sha256": sha256_file(path)})
    write_json(folder / REGRESSOR_CARD, card.model_dump(mode="json"))
    return card


def load_regressor(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of ``regressor.safetensors``.

    Raises:
        InputError: it is missing, damaged, or not the file its card describes.
    """
    path = folder / REGRESSOR_NAME
    if not path.is_file():
        raise InputError(
            f"{path} is missing: {folder} holds an encoder alone; start with parts: encoder, or fetch the regressor"
        )
    if (folder / REGRESSOR_CARD).is_file():
        card = RegressorCard.parse(read_json(folder / REGRESSOR_CARD), where=str(folder / REGRESSOR_CARD))
        if sha256_file(path) != card.sha256:
            raise InputError(f"{path} is not the file {REGRESSOR_CARD} describes (sha256 differs); import it again")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({str(error).splitlines()[0]}); make or import it again") from error
    return tensors


def regressor_heads(folder: Path) -> int | None:
    """Return how many heads the regressor of ``folder`` has, which its tensors alone do not tell; None if nothing says it."""
    if (folder / REGRESSOR_CARD).is_file():
        return RegressorCard.parse(read_json(folder / REGRESSOR_CARD), where=str(folder / REGRESSOR_CARD)).architecture.heads
    record: Any = read_json(folder / RECORD_NAME) if (folder / RECORD_NAME).is_file() else {}
    heads = record.get("config", {}).get("recipe", {}).get("regressor", {}).get("heads")
    return int(heads) if heads is not None else None
