"""The training of Siamese networks: folds one after the other, best epoch by the AUROC on the fold after the tested one.

Aligned pairs come from the cache and stay in memory (300 KB a pair at 224 px). Both images of a pair are turned, flipped and
coloured alike, so that they stay registered; what happens in an epoch follows from (seed, fold, epoch).
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
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # exported, but not by name
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import building_folder, write_json
from panderm.core.tables import SPLIT, read_table
from panderm.curation.splits import fold_names
from panderm.imaging.preprocessing import Preprocessing
from panderm.imaging.sequential.cache import Wanted, aligned_pairs
from panderm.imaging.sequential.pairs import pairs_of
from panderm.models.encoder import Encoder, load_encoder
from panderm.models.pixels import normalise
from panderm.models.siamese import PairHead, SiameseNetwork, contrastive
from panderm.training.change_recipe import ChangeRecipe
from panderm.training.epochs import train_epochs
from panderm.training.kind_worker import FINAL
from panderm.training.monitor import monitored, score
from panderm.training.place import Place
from panderm.training.schedule import decay_groups, learning_rate
from panderm.training.views import recoloured, turns

_EVALUATED = 32  # pairs a forward pass without gradients
_TIE = 1e-7  # weight of the cross-entropy: less than one swapped pair moves the AUROC of 1,000 by 1,000
_SMALLEST = 1e-7  # probability that is told from 0
Pixels = NDArray[np.uint8]


class Settings(FrozenConfig):
    """What :func:`train` is asked.

    Attributes:
        recipe: everything that decides the weights.
        folds: how many networks are trained.
        split: the table of images.
        data: folder of the published datasets.
        encoder: pretrain's output folder.
        cache: folder of the aligned pairs.
    """

    recipe: ChangeRecipe
    folds: int
    split: Path
    data: Path
    encoder: Path
    cache: Path


class Part(NamedTuple):
    """Pairs that are trained or chosen on.

    Attributes:
        seen: what goes into the network: pixels (P, 2, 3, S, S) uint8, or features (P, 2, D) of a frozen encoder.
        targets: (P,), 1 for changed.
    """

    seen: NDArray[Any]
    targets: NDArray[np.int64]


class ChangeFit:
    """One fold's training, as :func:`panderm.training.epochs.train_epochs` wants it."""

    def __init__(self, recipe: ChangeRecipe, encoder: Encoder, spec: Preprocessing, fold: int, place: Place) -> None:
        self.recipe, self.spec, self.fold, self.place, self.epochs = recipe, spec, fold, place, recipe.epochs
        torch.manual_seed(int(np.random.SeedSequence([recipe.seed, fold]).generate_state(1)[0]))
        self.network: nn.Module = build_network(recipe, encoder).to(place.device)
        groups = (
            decay_groups(self.network, recipe.weight_decay)
            if recipe.frozen_encoder
            else param_groups_layer_decay(
                self.network,
                weight_decay=recipe.weight_decay,
                no_weight_decay_list=self.network.no_weight_decay(),  # type: ignore[operator]
                layer_decay=recipe.layer_decay,
            )
        )
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)

    def on(self, train: Part, val: Part) -> ChangeFit:
        """Say what is trained and chosen on, and return this."""
        self.train, self.val = train, val
        self.monitor = monitored("auroc", 2, val.targets)
        return self

    def epoch(self, number: int) -> float:
        """Train one epoch over all pairs."""
        rng = np.random.default_rng([self.recipe.seed, self.fold, number])
        torch.manual_seed(int(rng.integers(2**31)))
        self.network.train()
        order = rng.permutation(len(self.train.targets))
        parts = [order[first : first + self.recipe.batch] for first in range(0, len(order), self.recipe.batch)]
        total = torch.zeros((), device=self.place.device)
        for step, part in enumerate(parts):
            self._set_rate(number * len(parts) + step, len(parts))
            loss = self._loss(part, rng)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimizer.step()
            total += loss.detach() * len(part)
        return float(total) / len(order)

    def score(self) -> float:
        """Return the AUROC on validation; NaN where that fold has one class.

        Of epochs with equal AUROC the one with the smallest cross-entropy shall win: folds are judged together, so their
        probabilities must mean the same, and the first epoch of a separable fold says 0.5 of everything.
        """
        if self.monitor is None:
            return math.nan
        answers = pair_probabilities(self.network, self.val.seen, self.spec, self.place.device).astype(np.float64)
        true = answers[np.arange(len(answers)), self.val.targets]
        entropy = -float(np.log(np.maximum(true, _SMALLEST)).mean())
        return score(self.monitor, self.val.targets, answers) - _TIE * entropy

    def _set_rate(self, step: int, steps: int) -> None:
        recipe = self.recipe
        rate = learning_rate(
            step,
            steps=steps * recipe.epochs,
            warmup=round(recipe.warmup_epochs * steps),
            peak=recipe.learning_rate,
            lowest=recipe.min_learning_rate,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)

    def _loss(self, part: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        targets = torch.from_numpy(self.train.targets[part]).to(self.place.device)
        seen = torch.from_numpy(self.train.seen[part]).to(self.place.device)
        if self.recipe.frozen_encoder:
            return cross_entropy(self.network(seen[:, 0], seen[:, 1]), targets)
        assert isinstance(self.network, SiameseNetwork)
        first, second = self.network.features(*self._views(seen, rng))
        loss = cross_entropy(self.network.head(first, second), targets)
        if not self.recipe.contrastive:
            return loss
        return loss + self.recipe.contrastive * contrastive(first, second, targets, self.recipe.margin)

    def _views(self, pixels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return both images of each pair under one turn, flip and change of colour a pair, normalised."""
        recipe, count, device = self.recipe, len(pixels), self.place.device
        both = torch.cat([pixels[:, 0], pixels[:, 1]]).float() / 255
        matrix = turns(count, recipe.rotation, recipe.flip, rng).to(device).repeat(2, 1, 1)
        grid = affine_grid(matrix, list(both.shape), align_corners=False)
        both = grid_sample(both, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        factors = torch.from_numpy(rng.uniform(1 - recipe.jitter, 1 + recipe.jitter, (3, count, 1, 1, 1))).float()
        both = recoloured(both, factors.to(device).repeat(1, 2, 1, 1, 1))
        shown = normalise(both.mul(255).round().to(torch.uint8), self.spec)
        return shown[:count], shown[count:]


def build_network(recipe: ChangeRecipe, encoder: Encoder) -> SiameseNetwork | PairHead:
    """Return what is trained: the whole network starting from ``encoder``, or the head alone where that is frozen."""
    if recipe.frozen_encoder:
        return PairHead(encoder.width, recipe.hidden)
    network = SiameseNetwork(encoder.config, recipe.hidden, recipe.drop_path)
    network.encoder.load_state_dict(encoder.state_dict())
    return network


@torch.inference_mode()
def pair_features(encoder: Encoder, pixels: Pixels, spec: Preprocessing, device: torch.device) -> NDArray[np.float32]:
    """Return the features (P, 2, D) that a frozen encoder gives pairs (P, 2, 3, S, S) uint8."""
    encoder.to(device).eval()
    made = [np.zeros((0, 2, encoder.width), dtype=np.float32)]
    for first in range(0, len(pixels), _EVALUATED):
        part = torch.from_numpy(pixels[first : first + _EVALUATED]).to(device)
        features = encoder.class_token(normalise(part.flatten(0, 1), spec))
        made.append(features.float().cpu().numpy().reshape(len(part), 2, -1))
    return np.concatenate(made)


@torch.inference_mode()
def pair_probabilities(
    network: nn.Module, seen: NDArray[Any], spec: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    """Return class probabilities (P, 2) of pairs, given as pixels or as features of a frozen encoder (see :class:`Part`)."""
    network.eval()
    answers = [np.zeros((0, 2), dtype=np.float32)]
    for first in range(0, len(seen), _EVALUATED):
        part = torch.from_numpy(seen[first : first + _EVALUATED]).to(device)
        two = (part[:, 0], part[:, 1])
        if part.dtype == torch.uint8:
            two = (normalise(two[0], spec), normalise(two[1], spec))
        answers.append(torch.softmax(network(*two).float(), dim=1).cpu().numpy())
    return np.concatenate(answers)


def train(values: dict[str, Any], work: Path, place: Place, say: Callable[[str], None]) -> None:
    """Train a network for each fold; leave ``network_0.safetensors``, ... and ``final.json`` in ``work/final``."""
    settings = Settings.parse(values, where="change job")
    recipe = settings.recipe
    pairs = pairs_of(read_table(settings.split, SPLIT), recipe.pairing)
    _check(pairs, settings.folds)
    encoder, card = load_encoder(settings.encoder)
    spec = card.preprocessing
    wanted = Wanted(recipe.pipeline, recipe.arm, spec)
    aligned = aligned_pairs(pairs, settings.data, settings.cache, wanted)
    say(f"{len(pairs)} pairs, {sum(one['registered'] for one in aligned.facts)} of them registered")
    seen: NDArray[Any] = aligned.pixels
    if recipe.frozen_encoder:
        seen = pair_features(encoder, aligned.pixels, spec, place.device)
        encoder.to("cpu")
    targets = pairs["target"].to_numpy(dtype=np.int64)
    facts: list[dict[str, Any]] = []
    chosen = []
    for fold in range(settings.folds):
        names = fold_names(pairs, fold, settings.folds).to_numpy()
        train_part, val_part = (Part(seen[names == name], targets[names == name]) for name in ("train", "val"))
        fit = ChangeFit(recipe, encoder, spec, fold, place).on(train_part, val_part)
        best = train_epochs(fit, work / f"fold_{fold}", say, what=f"fold {fold + 1} epoch")
        facts.append({"fold": fold, "epoch": best.epoch, "score": None if math.isnan(best.score) else best.score})
        facts[-1] |= {"history": [_plain(line) for line in best.lines]}
        chosen.append(best.weights)
    with building_folder(work / FINAL) as folder:
        for fold, weights in enumerate(chosen):
            shutil.copyfile(weights, folder / weights_name(fold))
        write_json(folder / "final.json", {"pairs": len(pairs), "folds": facts})


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    score = line["score"]
    return {"epoch": line["step"], "loss": line["loss"], "score": None if math.isnan(score) else score}


def weights_name(fold: int) -> str:
    """Return the file name of a fold's weights."""
    return f"network_{fold}.safetensors"


def _check(pairs: pd.DataFrame, folds: int) -> None:
    """Refuse pairs that a fold cannot be trained on."""
    for fold in range(folds):
        train = pairs[(fold_names(pairs, fold, folds) == "train").to_numpy()]
        present = sorted(train["label"].unique())
        if len(present) < 2:
            seen = f"{len(train)} pairs that are all {present[0]!r}" if present else "no pair"
            raise InputError(
                f"the training part of fold {fold + 1} has {seen}, but changed and unchanged ones are needed; "
                "deliver lesions of more patients and curate"
            )
