"""Linear probe: logistic regression on frozen features, to the minimum of the published objective (PanDerm, Methods).

The penalty is by choice because paper and public code differ; docs/decisions/0007-adaptation.md has the two formulas and
what each does. Shapes: N images, D feature width, C classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from panderm.core.errors import InputError
from panderm.core.files import writing
from panderm.tasks.logistic import Logistic, Penalty, Solution
from panderm.training.finetune_recipe import LinearProbeRecipe

Features = NDArray[np.float32]
Targets = NDArray[np.int64]
STRENGTHS = tuple(10.0**power for power in range(1, -6, -1))
"""Factors of 0.5 * ||W||^2 that the ``tuned`` arm tries, strongest first; scikit-learn's default is 1e-3 for 1,000 images."""


class Probe(NamedTuple):
    """A fitted head.

    Attributes:
        weight: (C, D) float32.
        bias: (C,) float32.
        objective: value at each evaluation of the optimiser.
        iterations: of L-BFGS.
        penalty: what was added to the cross-entropy, in words.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    objective: tuple[float, ...]
    iterations: int
    penalty: str

    def logits(self, features: Features) -> NDArray[np.float32]:
        """Return logits (N, C)."""
        answer: NDArray[np.float32] = features @ self.weight.T + self.bias
        return answer


def save_head(path: Path, probe: Probe) -> None:
    """Write ``weight`` (C, D) and ``bias`` (C,) as safetensors, whole or not at all."""
    with writing(path) as aside:
        save_file({"weight": probe.weight, "bias": probe.bias}, aside, metadata={"format": "pt"})


def fit(
    recipe: LinearProbeRecipe,
    features: Features,
    targets: Targets,
    classes: int,
    validation: tuple[Features, Targets] | None = None,
) -> Probe:
    """Fit a head on training features.

    Args:
        recipe: penalty, iterations, standardisation, seed.
        features: (N, D), finite.
        targets: (N,), 0 .. C - 1.
        classes: C.
        validation: features and targets to choose the strength on; only the ``tuned`` penalty needs it.

    Raises:
        InputError: a feature is not finite, or the ``tuned`` penalty has nothing to choose on.
    """
    problem = Logistic(features, targets, classes, standardise=recipe.standardise, seed=recipe.seed)
    if recipe.penalty != "tuned":
        penalty, words = _penalty(recipe, features.shape[1], classes)
        return _probe(problem.minimum(penalty, iterations=recipe.max_iter), words)
    if validation is None or not len(validation[1]):
        raise InputError("the penalty 'tuned' chooses on the validation split, which is empty; use 'code' or 'paper'")
    fits: list[Solution] = []
    for strength in STRENGTHS:  # each starts where the one before ended
        fits.append(problem.minimum(Penalty(strength, squared=True), fits[-1] if fits else None, recipe.max_iter))
    probes = [
        _probe(one, f"{strength:g} * 0.5 * ||W||^2, chosen on validation")
        for one, strength in zip(fits, STRENGTHS, strict=True)
    ]
    losses = [_cross_entropy(probe.logits(validation[0]), validation[1]) for probe in probes]
    return probes[int(np.argmin(losses))]  # of equals the strongest


def _penalty(recipe: LinearProbeRecipe, width: int, classes: int) -> tuple[Penalty, str]:
    k = width * classes / 100
    if recipe.penalty == "code":
        return Penalty(0.5 / k, squared=False), f"{1 / k:.4g} * 0.5 * ||W||"
    return Penalty(k, squared=True), f"{k:.4g} * 0.5 * ||W||^2"


def _probe(found: Solution, words: str) -> Probe:
    return Probe(found.weight.numpy(), found.bias.numpy(), found.objective, found.iterations, words)


def _cross_entropy(logits: NDArray[np.float32], targets: Targets) -> float:
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(targets)))
