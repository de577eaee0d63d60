"""The training of slide classifiers: one a fold, on cached features, the epoch with the lowest validation loss kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from panderm.core.config import FrozenConfig
from panderm.core.files import building_folder, write_json
from panderm.core.tables import SPLIT, read_table
from panderm.curation.splits import fold_names
from panderm.models.abmil import GatedAttention
from panderm.training.bags import Bags, Inputs
from panderm.training.epochs import train_epochs
from panderm.training.kind_worker import FINAL
from panderm.training.place import Place
from panderm.training.slides_recipe import SlidesRecipe


class Settings(FrozenConfig):
    """What :func:`train` is asked.

    Attributes:
        recipe: everything that decides the weights.
        classes: how many the task has.
        folds: how many there are.
        split: the table of tiles with their folds.
        data: folder of the published datasets.
        encoder: pretrain's output folder.
        features: the feature cache.
        feature_batch: tiles a forward pass of the encoder.
    """

    recipe: SlidesRecipe
    classes: int
    folds: int
    split: Path
    data: Path
    encoder: Path
    features: Path
    feature_batch: int = 64


class SlidesFit:
    """One fold's training, as :func:`panderm.training.epochs.train_epochs` wants it."""

    def __init__(self, settings: Settings, fold: int, place: Place, bags: Bags) -> None:
        self.recipe, self.fold, self.place, self.bags = settings.recipe, fold, place, bags
        names = fold_names(bags.slides, fold, settings.folds).to_numpy()
        self.train, self.val = (np.flatnonzero(names == name) for name in ("train", "val"))
        self.targets = bags.slides["target"].to_numpy(dtype=np.int64)
        torch.manual_seed(self.recipe.seed)
        self.network: nn.Module = build(self.recipe, bags.bag(0).shape[1], settings.classes).to(place.device)
        self.epochs = self.recipe.epochs
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay
        )

    def epoch(self, number: int) -> float:
        """Train one epoch, a slide a step."""
        rng = np.random.default_rng([self.recipe.seed, self.fold, number])
        torch.manual_seed(int(rng.integers(2**31)))
        self.network.train()
        total = 0.0
        for position, slide in enumerate(rng.permutation(self.train).tolist()):
            done = (number + position / len(self.train)) / self.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = 0.5 * self.recipe.learning_rate * (1 + math.cos(math.pi * done))
            loss = self._loss(slide)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += float(loss.detach())
        return total / len(self.train)

    @torch.inference_mode()
    def score(self) -> float:
        """Return minus the mean loss on the validation slides; NaN without one."""
        self.network.eval()
        return -float(np.mean([float(self._loss(slide)) for slide in self.val.tolist()])) if len(self.val) else math.nan

    def _loss(self, slide: int) -> Tensor:
        bag = torch.from_numpy(self.bags.bag(slide)).to(self.place.device)
        logits, _ = self.network(bag)
        return cross_entropy(logits[None], torch.tensor([self.targets[slide]], device=self.place.device))


def build(recipe: SlidesRecipe, width: int, classes: int) -> GatedAttention:
    """Return the untrained classifier for features of ``width``."""
    return GatedAttention(width, classes, recipe.hidden, recipe.attention, recipe.dropout_input, recipe.dropout)


def weights_name(fold: int) -> str:
    """Return the file name of a fold's weights."""
    return f"fold_{fold}.safetensors"


def train(values: dict[str, Any], work: Path, place: Place, say: Callable[[str], None]) -> None:
    """Train every fold; leave ``fold_0.safetensors``, ... and ``final.json`` in ``work/final``."""
    settings = Settings.parse(values, where="slides job")
    inputs = Inputs(settings.encoder, settings.data, settings.features, settings.feature_batch)
    bags = Bags(read_table(settings.split, SPLIT), inputs, work / "bags" / "features.npy")
    say(f"{len(bags.slides)} slides with {int(bags.slides['tiles'].sum())} tiles")
    told, chosen = [], []
    for fold in range(settings.folds):
        fit = SlidesFit(settings, fold, place, bags)
        what, patience = f"fold {fold + 1} of {settings.folds}, epoch", settings.recipe.patience
        best = train_epochs(fit, work / f"fold_{fold}", say, what=what, patience=patience)
        history = [{"epoch": line["step"], "loss": line["loss"], "val_loss": _or_none(-line["score"])} for line in best.lines]
        told.append({"fold": fold, "epoch": best.epoch, "val_loss": _or_none(-best.score), "history": history})
        chosen.append(best.weights)
    with building_folder(work / FINAL) as folder:
        for fold, weights in enumerate(chosen):
            shutil.copyfile(weights, folder / weights_name(fold))
        write_json(folder / "final.json", {"tiles": int(bags.slides["tiles"].sum()), "folds": told})


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


@torch.inference_mode()
def judge(network: GatedAttention, bag: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return class probabilities (C,) and attention (N,) of a slide's features (N, D)."""
    network.eval()
    logits, attention = network(torch.from_numpy(np.ascontiguousarray(bag)))
    return torch.softmax(logits, dim=0).numpy(), attention.numpy()
