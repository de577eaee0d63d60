"""A task model as it lies in ``artifacts/tasks/<task>/model/``: its card, how it is saved, loaded and asked.

Evaluation, export and local prediction all ask the same object, so there is one path from pixels to probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from panderm.catalog.table import Protocol
from panderm.core.config import FrozenConfig, added
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_bytes, sha256_file, write_json, writing
from panderm.core.layout import written_by
from panderm.core.terms import UNKNOWN, Input, imported, joined
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import Encoder, EncoderConfig, load_encoder
from panderm.models.heads import FineTunedNetwork, LinearHead
from panderm.models.pixels import normalise

MODEL_NAME = "model.json"
WEIGHTS: dict[Protocol, str] = {"linear_probe": "head.safetensors", "fine_tuning": "network.safetensors"}


class ModelCard(FrozenConfig):
    """``model.json``.

    Attributes:
        task: benchmark key.
        protocol: what was done: ``linear_probe`` or ``fine_tuning``.
        classes: labels in index order.
        preprocessing: how an image becomes the input.
        architecture: of the encoder, so that a fine-tuned network stands without the encoder's folder.
        relative_position_bias: whether a fine-tuned network has one.
        encoder_sha256: of the encoder's weights that it stands on or started from.
        weights: name of the weights file beside the card.
        weights_sha256: of that file.
        split_sha256: of the ``split.parquet`` it was fitted on.
        config: the stage's configuration as used.
        licence: terms that came with the encoder's weights (``EncoderCard.licence``) and hold for this model too.
        inputs: everything that it was made from, with its terms: the encoder's inputs and the task's own data.
    """

    task: str
    protocol: Protocol
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    architecture: EncoderConfig
    relative_position_bias: bool = False
    encoder_sha256: str
    weights: str
    weights_sha256: str
    split_sha256: str
    config: dict[str, Any]
    licence: str = added("")
    inputs: tuple[Input, ...] = added(())

    @property
    def made_from(self) -> tuple[Input, ...]:
        """The inputs; of an imported or older model its licence, and that the rest is not known."""
        return self.inputs or joined(imported(self.licence), (Input(name="training data", licence=UNKNOWN),))

    @property
    def preprocessing_sha256(self) -> str:
        """sha256 of the preprocessing description's bytes; what reports, verdicts and bundles are bound to."""
        return sha256_bytes(self.preprocessing.to_json().encode())


class TaskModel(nn.Module):
    """A task's model, on the CPU and in eval mode when loaded.

    Attributes:
        card: what it is.
        encoder: the shared encoder of a linear probe; None for a fine-tuned network.
        head: features (N, D) -> logits (N, C) of a linear probe; None for a fine-tuned network.
        network: images -> logits of a fine-tuned task; None for a linear probe.
    """

    def __init__(self, card: ModelCard, encoder: Encoder | None, head: LinearHead | None, network: FineTunedNetwork | None):
        super().__init__()
        assert (network is None) == (encoder is not None and head is not None)
        self.card, self.encoder, self.head, self.network = card, encoder, head, network

    def logits(self, images: Tensor) -> Tensor:
        """Return logits (N, C) of normalised images (N, 3, S, S)."""
        if self.network is not None:
            whole: Tensor = self.network(images)
            return whole
        assert self.encoder is not None
        assert self.head is not None
        logits: Tensor = self.head(self.encoder.class_token(images))
        return logits

    @torch.inference_mode()
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return class probabilities (N, C) of prepared images, uint8 (N, 3, S, S)."""
        device = next(self.parameters()).device
        images = normalise(torch.from_numpy(pixels).to(device), self.card.preprocessing)
        answer: NDArray[np.float32] = torch.softmax(self.logits(images).float(), dim=-1).cpu().numpy()
        return answer

    @torch.inference_mode()
    def probabilities_of_views(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return class probabilities (N, C) of V views of each image, uint8 (N, V, 3, S, S): of the mean of their logits."""
        device = next(self.parameters()).device
        images = normalise(torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:])).to(device), self.card.preprocessing)
        logits = self.logits(images).float().reshape(*pixels.shape[:2], -1).mean(dim=1)
        answer: NDArray[np.float32] = torch.softmax(logits, dim=-1).cpu().numpy()
        return answer

    @torch.inference_mode()
    def probabilities_of_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return class probabilities (N, C) of encoder features (N, D); linear probes only."""
        assert self.head is not None
        answer: NDArray[np.float32] = torch.softmax(self.head(torch.from_numpy(features)), dim=-1).numpy()
        return answer


def save_weights(path: Path, module: nn.Module) -> str:
    """Write a module's tensors as safetensors, whole or not at all, and return the file's sha256."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with writing(path) as aside:
        save_file(tensors, aside, metadata={"format": "pt"})
    return sha256_file(path)


def save_card(folder: Path, card: ModelCard) -> None:
    """Write ``model.json``."""
    write_json(folder / MODEL_NAME, card.model_dump(mode="json"))


def load_model_card(folder: Path) -> ModelCard:
    """Read ``model.json`` without touching the weights.

    Raises:
        InputError: the folder holds no model.
        ConfigError: the card has an unknown or wrong key.
    """
    return ModelCard.parse(read_json(folder / MODEL_NAME), where=str(folder / MODEL_NAME))


def load_task_model(model: Path, encoder: Path | None = None) -> TaskModel:
    """Return a task's model on the CPU in eval mode. Every tensor must match, and every hash of the card.

    Args:
        model: finetune's output folder.
        encoder: pretrain's output folder; only a linear probe needs it.

    Raises:
        InputError: weights are missing, damaged or not those of the card, or the encoder is another one.
        ConfigError: a card has an unknown or wrong key.
    """
    card = load_model_card(model)
    path = model / card.weights
    if not path.is_file() or sha256_file(path) != card.weights_sha256:
        raise InputError(f"{path} is missing or not the file {MODEL_NAME} describes; run `panderm finetune {card.task}` again")
    if card.protocol == "fine_tuning":
        network = FineTunedNetwork(card.architecture, len(card.classes), relative_position_bias=card.relative_position_bias)
        _fill(network, path)
        return TaskModel(card, None, None, network).eval()
    if encoder is None:
        raise InputError(f"{model} is a linear probe and needs its encoder; name the encoder's folder too")
    body, body_card = load_encoder(encoder)
    if body_card.sha256 != card.encoder_sha256:
        raise InputError(
            f"{model} stands on encoder {card.encoder_sha256[:12]}, but {encoder} holds {body_card.sha256[:12]}; "
            f"run `panderm finetune {card.task}` again"
        )
    head = LinearHead(card.architecture.width, len(card.classes))
    _fill(head, path)
    return TaskModel(card, body, head, None).eval()


def _fill(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError) as error:
        seen = str(error).splitlines()[0]
        raise InputError(f"{path} does not fit its card ({seen}); run {written_by(path)} again") from error
