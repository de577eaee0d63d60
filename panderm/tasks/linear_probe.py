"""Linear probe: logistic regression on frozen features, full-batch L-BFGS (PanDerm, Methods, Linear probing).

The penalty is by choice because paper and public code differ; docs/decisions/0007-adaptation.md has the two formulas and
what each does. Shapes: N images, D feature width, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from panderm.core.errors import InputError
from panderm.core.files import writing
from panderm.training.finetune_recipe import LinearProbeRecipe

Features = NDArray[np.float32]
Targets = NDArray[np.int64]
Penalty = Callable[[Tensor], Tensor]
STRENGTHS = tuple(10.0**power for power in range(1, -6, -1))
"""Factors of 0.5 * ||W||^2 that the ``tuned`` arm tries, strongest first; scikit-learn's default is 1e-3 for 1,000 images."""

_HISTORY, _TUNED_HISTORY = 100, 10
"""Updates that L-BFGS remembers: torch's default as in the public code; ten do for a squared norm, in a tenth of the time."""


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
    if not np.isfinite(features).all():
        raise InputError(
            f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} feature rows hold NaN or infinity; "
            "the encoder is broken, run `panderm pretrain` again"
        )
    if recipe.penalty != "tuned":
        return _fit(recipe, features, targets, classes, *_penalty(recipe, features.shape[1], classes))
    if validation is None or not len(validation[1]):
        raise InputError("the penalty 'tuned' chooses on the validation split, which is empty; use 'code' or 'paper'")
    fits: list[Probe] = []
    for strength in STRENGTHS:  # each starts where the one before ended
        words = f"{strength:g} * 0.5 * ||W||^2, chosen on validation"
        start = fits[-1] if fits else None
        fits.append(_fit(recipe, features, targets, classes, _squared(strength), words, start, _TUNED_HISTORY))
    losses = [_cross_entropy(probe.logits(validation[0]), validation[1]) for probe in fits]
    return fits[int(np.argmin(losses))]  # of equals the strongest


def _penalty(recipe: LinearProbeRecipe, width: int, classes: int) -> tuple[Penalty, str]:
    k = width * classes / 100
    if recipe.penalty == "code":
        return (lambda weight: 0.5 / k * weight.norm()), f"{1 / k:.4g} * 0.5 * ||W||"
    return _squared(k), f"{k:.4g} * 0.5 * ||W||^2"


def _squared(strength: float) -> Penalty:
    return lambda weight: 0.5 * strength * weight.square().sum()


def _fit(
    recipe: LinearProbeRecipe,
    features: Features,
    targets: Targets,
    classes: int,
    penalty: Penalty,
    words: str,
    start: Probe | None = None,
    history: int = _HISTORY,
) -> Probe:
    """Minimise mean cross-entropy + penalty in float64: in float32 the stop would hang on rounding, and so on the machine."""
    shift, scale = _standard(recipe, features)
    x = (torch.from_numpy(features).double() - shift) / scale
    y = torch.from_numpy(targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        head = nn.Linear(features.shape[1], classes).double()
    if start is not None:
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(start.weight) * scale)
            head.bias.copy_(torch.from_numpy(start.bias) + torch.from_numpy(start.weight).double() @ shift)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=recipe.max_iter, history_size=history, line_search_fn="strong_wolfe"
    )
    objective: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(x), y) + penalty(head.weight)
        torch.autograd.backward(value)
        objective.append(value.item())
        return objective[-1]

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    if not math.isfinite(objective[-1]):
        raise InputError("the linear probe did not converge to a number; set linear_probe.standardise=true")
    weight = head.weight.detach() / scale
    bias = head.bias.detach() - weight @ shift
    iterations = int(next(iter(optimizer.state.values()))["n_iter"])
    return Probe(weight.float().numpy(), bias.float().numpy(), tuple(objective), iterations, words)


def _standard(recipe: LinearProbeRecipe, features: Features) -> tuple[Tensor, Tensor]:
    """Return shift and scale (D,); they are folded into the head afterwards, so that nothing else has to know of them."""
    width = features.shape[1]
    if not recipe.standardise:
        return torch.zeros(width).double(), torch.ones(width).double()
    x = torch.from_numpy(features).double()
    deviation = x.std(dim=0, correction=0)
    return x.mean(dim=0), torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def _cross_entropy(logits: NDArray[np.float32], targets: Targets) -> float:
    return float(nn.functional.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(targets)))
