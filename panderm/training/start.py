"""Where a pretraining starts from weights that exist: an imported checkpoint, or an encoder of ours.

The paper's run began with ImageNet weights; official large weights with regressor and head can go on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import sha256_file
from panderm.models.alignment import MaskedAlignment
from panderm.models.checkpoints.regressor_file import REGRESSOR_NAME, load_regressor, regressor_heads
from panderm.models.encoder import EncoderCard, load_card, load_encoder

_SIZES = ("image_size", "patch_size", "width", "depth", "heads", "mlp_ratio", "pre_norm", "activation", "norm_eps")


class StartConfig(FrozenConfig):
    """Weights to begin with instead of random ones.

    Attributes:
        folder: an encoder folder (``panderm checkpoint import``, or a former pretraining's output).
        parts: ``encoder``; ``encoder_and_regressor`` (a new head, for another teacher); ``all`` (head too).
    """

    folder: Path
    parts: Literal["encoder", "encoder_and_regressor", "all"] = "encoder"

    def placed(self) -> StartConfig:
        """Return it with an absolute folder, for processes that start elsewhere."""
        return self.model_copy(update={"folder": self.folder.resolve()})


def start_hashes(start: StartConfig) -> dict[str, str]:
    """Return what names the weights in the training's identity: their content, not their place.

    Raises:
        InputError: the folder holds no encoder, or no regressor where one is asked for.
    """
    hashes = {"encoder": load_card(start.folder).sha256}
    if start.parts != "encoder":
        path = start.folder / REGRESSOR_NAME
        if not path.is_file():
            raise InputError(f"{path} is missing: the folder holds an encoder alone; set start.parts to encoder")
        hashes["regressor"] = sha256_file(path)
    return hashes


def inherited(start: StartConfig | None) -> dict[str, Any]:
    """Return the card fields ``origin`` and ``licence`` of an encoder that began there; nothing without a start.

    Terms go on: what starts from non-commercial weights stays under their terms.
    """
    if start is None:
        return {}
    card = load_card(start.folder)
    origin = f"started from encoder {card.sha256[:12]}" + (f" ({card.origin})" if card.origin else "")
    return {"origin": origin, "licence": card.licence}


def load_start(model: MaskedAlignment, start: StartConfig) -> EncoderCard:
    """Fill a freshly built model's parts with the folder's weights, every tensor of a part or none.

    Args:
        model: as the recipe says; parts that are not asked for keep their initial weights.
        start: which folder and parts.

    Returns:
        The card of the encoder it started from.

    Raises:
        InputError: the folder's weights are missing or damaged, or their sizes are not the recipe's (both are named).
    """
    encoder, card = load_encoder(start.folder)
    theirs, ours = card.architecture, model.encoder.config
    differing = [name for name in _SIZES if getattr(theirs, name) != getattr(ours, name)]
    if differing:
        said = "; ".join(f"{name} is {getattr(theirs, name)}, the recipe's {getattr(ours, name)}" for name in differing)
        raise InputError(f"the encoder in {start.folder} does not fit the recipe ({said}); set overrides.encoder to its sizes")
    model.encoder.load_state_dict(encoder.state_dict(), strict=True)
    if start.parts != "encoder":
        _load_others(model, start)
    return card


def _load_others(model: MaskedAlignment, start: StartConfig) -> None:
    tensors = load_regressor(start.folder)
    heads = regressor_heads(start.folder)
    if heads is not None and heads != model.regressor.config.heads:
        raise InputError(
            f"the regressor in {start.folder} has {heads} heads, the recipe's {model.regressor.config.heads}; "
            f"set overrides.regressor.heads to {heads}"
        )
    _fill(model.regressor, _below(tensors, "regressor."), "regressor", start.folder)
    if start.parts == "all":
        _fill(model.head, _below(tensors, "head."), "head", start.folder)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fill(module: nn.Module, tensors: dict[str, Tensor], what: str, folder: Path) -> None:
    needed = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    seen = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if needed != seen:
        name = next(name for name in sorted(needed.keys() | seen.keys()) if needed.get(name) != seen.get(name))
        sizes = f"{_by(seen.get(name))} in the file, {_by(needed.get(name))} in the recipe"
        raise InputError(
            f"the {what} in {folder} does not fit the recipe ({name}: {sizes}); set overrides.regressor and the teacher to its "
            "sizes, or take fewer start.parts"
        )
    module.load_state_dict(tensors, strict=True)


def _by(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else " x ".join(map(str, shape))
