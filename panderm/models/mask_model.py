"""The segmentation model of a task: UperNets of several seeds in one folder, one of which is served, and how it is asked.

Evaluation, export and the champion's comparison all ask the same function, so there is one path from pixels to probabilities.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from panderm.core.errors import InputError
from panderm.core.files import sha256_file
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.pixels import normalise
from panderm.models.task_model import MODEL_NAME, ModelCard, load_model_card
from panderm.models.upernet import UperNet

CLASSES = 2
"""Background and foreground."""


class MaskModel(nn.Module):
    """The network that is served, on the CPU and in eval mode when loaded.

    Attributes:
        card: what it is.
        network: normalised images (N, 3, S, S) -> logits (N, 2, S, S).
    """

    def __init__(self, card: ModelCard, network: UperNet) -> None:
        super().__init__()
        self.card, self.network = card, network

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the foreground's probabilities (N, S, S) of prepared images, uint8 (N, 3, S, S)."""
        return foreground(self.network, pixels, self.card.preprocessing)


@torch.inference_mode()
def foreground(network: nn.Module, pixels: NDArray[np.uint8], spec: Preprocessing) -> NDArray[np.float32]:
    """Return the foreground's probabilities (N, S, S) that a network, on whatever device, gives images (N, 3, S, S) uint8."""
    images = torch.from_numpy(pixels).to(next(network.parameters()).device)
    answer: NDArray[np.float32] = torch.softmax(network(normalise(images, spec)).float(), dim=1)[:, 1].cpu().numpy()
    return answer


def load_mask_model(model: Path) -> MaskModel:
    """Return the network of a segmentation model that is served.

    Raises:
        InputError: the weights are missing, damaged or not those of the card.
        ConfigError: the card has an unknown or wrong key.
    """
    card = load_model_card(model)
    return MaskModel(card, load_network(card, model / card.weights, card.weights_sha256)).eval()


def load_network(card: ModelCard, path: Path, sha256: str) -> UperNet:
    """Return the network of one seed, on the CPU and in eval mode; its head is as wide as its weights say.

    Raises:
        InputError: the weights are missing, damaged or not those of that hash.
    """
    again = f"run `panderm finetune {card.task}` again"
    if not path.is_file() or sha256_file(path) != sha256:
        raise InputError(f"{path} is missing or not the file {MODEL_NAME} describes; {again}")
    try:
        tensors = load_file(path)
        network = UperNet(card.architecture, CLASSES, tensors["classify.weight"].shape[1])
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise InputError(f"{path} does not fit its card ({str(error).splitlines()[0]}); {again}") from error
    return network.eval()
