"""The training of a segmentation network: seeds one after the other, best epoch by the Jaccard index on validation.

Images and masks of a split are squeezed to the network's square once and kept in memory (150 KB an image at 224 px); views are
drawn a batch at a time on the device, from a generator that follows from (seed, epoch).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import building_folder, write_json
from panderm.core.tables import SPLIT, read_table
from panderm.imaging.masks import Mask, load_pairs, marked, overlap
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import load_encoder
from panderm.models.mask_model import CLASSES, foreground
from panderm.models.pixels import normalise
from panderm.models.upernet import UperNet
from panderm.training.epochs import train_epochs
from panderm.training.kind_worker import FINAL
from panderm.training.place import Place
from panderm.training.segmentation_recipe import SegmentationRecipe
from panderm.training.views import jittered, turns

_SUBSET, _VIEWS = range(2)  # streams of random numbers that never meet
_EVALUATED = 32  # images a forward pass without gradients


class Settings(FrozenConfig):
    """What :func:`train` is asked.

    Attributes:
        recipe: everything that decides the weights.
        split: the table of images with masks.
        data: folder of the published datasets.
        encoder: pretrain's output folder.
    """

    recipe: SegmentationRecipe
    split: Path
    data: Path
    encoder: Path


class SegmentationFit:
    """One seed's training, as :func:`panderm.training.epochs.train_epochs` wants it."""

    def __init__(self, settings: Settings, seed: int, place: Place, train: Pairs, val: Pairs) -> None:
        self.recipe, self.seed, self.place, self.pairs, self.val = settings.recipe, seed, place, train, val
        encoder, card = load_encoder(settings.encoder)
        self.spec = card.preprocessing
        torch.manual_seed(seed)
        channels = self.recipe.channels or card.architecture.width
        self.network: nn.Module = UperNet(card.architecture, CLASSES, channels, self.recipe.drop_path)
        self.network.get_submodule("encoder").load_state_dict(encoder.state_dict())
        self.network.to(place.device)
        self.epochs = self.recipe.epochs
        self.batch = min(self.recipe.batch, len(train.images))
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )

    def epoch(self, number: int) -> float:
        """Train one epoch over all images; the last batch takes what is left, unless that is one image alone."""
        rng = np.random.default_rng([self.seed, _VIEWS, number])
        torch.manual_seed(int(rng.integers(2**31)))
        for group in self.optimizer.param_groups:
            group["lr"] = 0.5 * self.recipe.learning_rate * (1 + math.cos(math.pi * number / self.epochs))
        self.network.train()
        order = rng.permutation(len(self.pairs.images))
        parts = [order[first : first + self.batch] for first in range(0, len(order), self.batch)]
        parts = [part for part in parts if len(part) > 1]  # batch norm has nothing to norm in a single pooled value
        total = torch.zeros((), device=self.place.device)
        for part in parts:
            images, masks = self._views(part, rng)
            loss = cross_entropy(self.network(images), masks)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach()
        return float(total) / len(parts)

    def score(self) -> float:
        """Return the mean Jaccard index on validation; NaN without a validation image."""
        if not len(self.val.images):
            return math.nan
        found = predict_masks(self.network, self.val.images, self.spec)
        return float(np.mean([overlap(mask, true)[1] for mask, true in zip(found, self.val.masks, strict=True)]))

    def _views(self, part: NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        device, recipe = self.place.device, self.recipe
        pixels = torch.from_numpy(self.pairs.images[part]).to(device).float() / 255
        masks = torch.from_numpy(self.pairs.masks[part]).to(device).float().unsqueeze(1)
        turned = turns(len(part), recipe.rotation, recipe.flip, rng).to(device)
        grid = affine_grid(turned, list(pixels.shape), align_corners=False)
        pixels = grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        masks = grid_sample(masks, grid, mode="nearest", padding_mode="reflection", align_corners=False)
        shown = jittered(pixels, recipe.jitter, rng).mul(255).round().to(torch.uint8)
        return normalise(shown, self.spec), (masks[:, 0] >= 0.5).long()


class Pairs(NamedTuple):
    """Images (N, 3, S, S) uint8 and masks (N, S, S) in memory."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    def of(self, part: NDArray[np.intp]) -> Pairs:
        """Return some of them; all of them are not copied."""
        return self if len(part) == len(self.images) else Pairs(self.images[part], self.masks[part])


def load(frame: pd.DataFrame, data: Path, spec: Preprocessing, what: str) -> Pairs:
    """Return the pairs of a table of rows."""
    return Pairs(*load_pairs(frame, data, spec, what))


def train(values: dict[str, Any], work: Path, place: Place, say: Callable[[str], None]) -> None:
    """Train every seed; leave ``network.safetensors``, ``network_1.safetensors``, ... and ``final.json`` in ``work/final``."""
    settings = Settings.parse(values, where="segmentation job")
    frame = read_table(settings.split, SPLIT)
    _, card = load_encoder(settings.encoder)
    spec = card.preprocessing
    whole = frame[frame["split"] == "train"].reset_index(drop=True)
    if len(whole) < 2:
        raise InputError(f"the training split has {len(whole)} images with masks, but two are needed; deliver more and curate")
    train_pairs = load(whole, settings.data, spec, "training masks")
    val_pairs = load(frame[frame["split"] == "val"], settings.data, spec, "validation masks")
    facts: list[dict[str, Any]] = []
    chosen = []
    for seed in range(settings.recipe.seeds):
        used = subset(whole, settings.recipe.fraction, seed)
        fit = SegmentationFit(settings, seed, place, train_pairs.of(used), val_pairs)
        best = train_epochs(fit, work / f"seed_{seed}", say, what=f"seed {seed} epoch")
        facts.append({"seed": seed, "epoch": best.epoch, "score": None if math.isnan(best.score) else best.score})
        facts[-1] |= {"train_images": len(used), "train_groups": int(whole["group"].iloc[used].nunique())}
        facts[-1] |= {"history": [{"epoch": line["step"], "loss": line["loss"]} for line in best.lines]}
        chosen.append(best.weights)
    with building_folder(work / FINAL) as folder:
        for seed, weights in enumerate(chosen):
            shutil.copyfile(weights, folder / weights_name(seed))
        write_json(folder / "final.json", {"train_images": facts[0]["train_images"], "seeds": facts})


def weights_name(seed: int) -> str:
    """Return the file name of a seed's weights."""
    return f"network_{seed}.safetensors" if seed else "network.safetensors"


def subset(train: pd.DataFrame, fraction: float, seed: int) -> NDArray[np.intp]:
    """Return the places of a share of the training groups; each seed draws its own, smaller shares lie within larger ones."""
    groups = np.array(sorted(train["group"].unique()))
    order = np.random.default_rng([_SUBSET, seed]).permutation(groups)
    kept = train["group"].isin(order[: max(2, round(fraction * len(groups)))])
    return np.flatnonzero(kept.to_numpy())


def predict_masks(network: nn.Module, images: NDArray[np.uint8], spec: Preprocessing) -> Mask:
    """Return the masks (N, S, S) that a network gives images (N, 3, S, S) uint8."""
    network.eval()
    parts = (images[first : first + _EVALUATED] for first in range(0, len(images), _EVALUATED))
    return np.stack([marked(one) for part in parts for one in foreground(network, part, spec)])
