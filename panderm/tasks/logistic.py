"""The minimum of multinomial logistic regression on many features, in few passes over them.

Plain L-BFGS needs hundreds of passes, because features of a network vary much along few directions and little along the
others. Here the optimiser works in coordinates in which they vary alike: the largest directions are found on a sample of
rows by a randomised range finder (Halko, Martinsson and Tropp, 2011) and scaled down, all others alike. The minimum is the
same; measured beside the plain form by ``benchmarks/probe_speed.py``. Shapes: N rows, D features, C classes.

The products with the features are float32, in blocks that stay in the processor's cache and without a copy of the features;
sums over rows and the optimiser are float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panderm.core.errors import InputError

BLOCK = 1024
"""Rows a block: 4 MB at D = 1024, which the cache holds from the product forth to the product back. Measured: as fast as 512 on
one core, a fifth faster than 4,096; and fewer meetings of threads, each of which costs a turn on a busy machine."""

SAMPLE, RANK = 2048, (32, 256)
"""Most rows that the directions are found on, and fewest and most directions; their number is sqrt(N * C) / 2 between."""

RIDGE = 0.1
"""Of the mean variance, added to each direction's: smaller ones matter little to the loss. 0.1 took the fewest passes of
0.001 to 0.3 on spectra that fall like 1, 1/i and 1/i^2."""

CURVATURE = 0.25
"""Largest curvature of a class's logit in the cross-entropy, p (1 - p): what a penalty has to be held against."""

TOLERANCE, HISTORY = 1e-6, 20
"""The optimiser stops when a step lowers the objective by less (AUROC is then at rest in its fourth digit; the sums' own
rounding is 1e-8); updates that it remembers."""

_KINK = 1e-3  # of a feature's deviation: below such weights the norm is smoothed, where it has no gradient at zero


class Penalty(NamedTuple):
    """What is added to the mean cross-entropy: ``strength * norm(W)``, or with ``squared`` ``strength * 0.5 * norm(W)^2``."""

    strength: float
    squared: bool


class Solution(NamedTuple):
    """A minimum.

    Attributes:
        weight: (C, D) float32.
        bias: (C,) float32.
        objective: value at each evaluation.
        iterations: of L-BFGS.
    """

    weight: Tensor
    bias: Tensor
    objective: tuple[float, ...]
    iterations: int


class Directions(NamedTuple):
    """Along which directions the features vary most.

    Attributes:
        axes: (D, R) orthonormal.
        variance: (R,) along them.
        mean: mean variance of a feature.
    """

    axes: Tensor
    variance: Tensor
    mean: float


class Logistic:
    """Logistic regression on given rows; what depends on the features alone is computed once for all penalties.

    Args:
        features: (N, D) float32, finite; not copied.
        targets: (N,), 0 .. C - 1.
        classes: C.
        standardise: penalise weights of features scaled to deviation 1 (the solution is for the features as given).
        seed: of the sample of rows and of the range finder.

    Raises:
        InputError: a feature is not finite.
    """

    def __init__(
        self, features: NDArray[np.float32], targets: NDArray[np.int64], classes: int, *, standardise: bool, seed: int
    ) -> None:
        self.x, self.y, self.classes = torch.from_numpy(features), torch.from_numpy(targets), classes
        self.shift = self.x.mean(dim=0)
        if not self.shift.isfinite().all():
            raise InputError(
                f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} feature rows hold NaN or infinity; "
                "the encoder is broken, run `panderm pretrain` again"
            )
        self.scale = _deviation(self.x, self.shift) if standardise else torch.ones_like(self.shift)
        self.directions = self._directions(seed)

    def _directions(self, seed: int) -> Directions:
        rows, width = self.x.shape
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(rows, SAMPLE, replace=False)) if rows > SAMPLE else np.arange(rows)
        sample = (self.x[torch.from_numpy(chosen)] - self.shift) / self.scale
        rank = min(max(RANK[0], min(RANK[1], math.isqrt(rows * self.classes) // 2)), *sample.shape)
        start = torch.from_numpy(rng.standard_normal((width, rank))).float()
        basis, _ = torch.linalg.qr(sample.T @ (sample @ start))
        seen = sample @ basis
        variance, turn = torch.linalg.eigh((seen.T @ seen).double() / len(sample))
        mean = float(sample.square().sum(dtype=torch.float64)) / sample.numel()
        return Directions((basis.double() @ turn).float(), variance, max(mean, torch.finfo(torch.float32).tiny))

    def minimum(self, penalty: Penalty, start: Solution | None = None, iterations: int = 1000) -> Solution:
        """Return the weights that minimise mean cross-entropy + penalty.

        Args:
            penalty: on the weights; biases are free.
            start: where to begin, e.g. the minimum under another penalty; by default at zero weights.
            iterations: most iterations of L-BFGS.

        Raises:
            InputError: the objective is not a number.
        """
        from scipy.optimize import minimize

        values: list[float] = []
        inner, outer = self._scaling(penalty)

        def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            given = torch.from_numpy(point).float().view(self.classes, -1)
            weight = self._stretch(given[:, :-1], inner, outer)
            loss, slope, free = self._cross_entropy(weight, given[:, -1])
            added, pull = self._penalised(penalty, weight)
            values.append(loss + added)
            slope = self._stretch(slope + pull * weight, inner, outer)
            return values[-1], torch.cat([slope.double(), free[:, None]], dim=1).numpy().ravel()

        options = {"maxiter": iterations, "maxfun": 2 * iterations + 20, "maxcor": HISTORY, "ftol": TOLERANCE, "gtol": 0.0}
        found = minimize(objective, self._point(start, inner, outer), jac=True, method="L-BFGS-B", options=options)
        if not math.isfinite(found.fun):
            raise InputError("the linear probe did not converge to a number; set linear_probe.standardise=true")
        answer = torch.from_numpy(found.x).float().view(self.classes, -1)
        weight = self._stretch(answer[:, :-1], inner, outer) / self.scale
        return Solution(weight, answer[:, -1] - weight @ self.shift, tuple(values), int(found.nit))

    def _scaling(self, penalty: Penalty) -> tuple[Tensor, float]:
        """Return by how much coordinates are stretched along the directions, (R,), and across all others."""
        ridge = RIDGE * self.directions.mean + (penalty.strength / CURVATURE if penalty.squared else 0.0)
        outer = float(ridge + self.directions.variance[0].clamp(min=0)) ** -0.5
        return (ridge + self.directions.variance.clamp(min=0)).pow(-0.5).clamp(max=outer).float(), outer

    def _stretch(self, rows: Tensor, inner: Tensor, outer: float) -> Tensor:
        axes = self.directions.axes
        return rows * outer + ((rows @ axes) * (inner - outer)) @ axes.T

    def _point(self, start: Solution | None, inner: Tensor, outer: float) -> NDArray[np.float64]:
        """Return a solution in the optimiser's coordinates."""
        if start is None:
            return np.zeros(self.classes * (self.x.shape[1] + 1))
        weight = self._stretch(start.weight * self.scale, 1 / inner, 1 / outer)
        bias = start.bias + start.weight @ self.shift
        return torch.cat([weight, bias[:, None]], dim=1).double().numpy().ravel()

    def _cross_entropy(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the mean loss and its slopes by weight (C, D) and bias (C,), for features shifted and scaled."""
        own = weight / self.scale
        offset = bias - own @ self.shift
        total = torch.zeros((), dtype=torch.float64)
        slope, free = torch.zeros_like(own), torch.zeros(self.classes, dtype=torch.float64)
        one = _two_classes if self.classes == 2 else _many_classes
        for x, y in zip(torch.split(self.x, BLOCK), torch.split(self.y, BLOCK), strict=True):
            loss, by_weight, by_bias = one(x, y, own, offset)
            total += loss
            slope += by_weight
            free += by_bias
        rows = len(self.y)
        slope = (slope - torch.outer(free.float(), self.shift)) / (self.scale * rows)
        return float(total) / rows, slope, free / rows

    def _penalised(self, penalty: Penalty, weight: Tensor) -> tuple[float, float]:
        """Return the penalty, and what its slope is in multiples of the weights."""
        square = float(weight.square().sum(dtype=torch.float64))
        if penalty.squared:
            return 0.5 * penalty.strength * square, penalty.strength
        norm = math.sqrt(square + _KINK**2 / self.directions.mean)
        return penalty.strength * norm, penalty.strength / norm


def _many_classes(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the summed cross-entropy of a block and its slopes by weight (C, D) and bias (C,)."""
    shares = torch.log_softmax(x @ weight.T + bias, dim=1)
    loss = -shares.gather(1, y[:, None]).sum(dtype=torch.float64)
    gap = shares.exp_().scatter_add_(1, y[:, None], x.new_full((len(y), 1), -1.0))
    return loss, gap.T @ x, gap.sum(dim=0, dtype=torch.float64)


def _two_classes(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same of two classes, by products with one vector: twice as fast as with two."""
    score = torch.mv(x, weight[1] - weight[0]) + (bias[1] - bias[0])
    loss = torch.nn.functional.softplus(torch.where(y == 1, -score, score)).sum(dtype=torch.float64)
    gap = torch.sigmoid(score) - y
    by_weight, by_bias = torch.mv(x.T, gap), gap.sum(dtype=torch.float64)
    return loss, torch.stack([-by_weight, by_weight]), torch.stack([-by_bias, by_bias])


def _deviation(x: Tensor, shift: Tensor) -> Tensor:
    """Return each feature's deviation (D,), 1 for those that never vary."""
    total = torch.zeros(x.shape[1], dtype=torch.float64)
    for block in torch.split(x, BLOCK):
        total += (block - shift).double().square().sum(dim=0)
    deviation = (total / len(x)).sqrt().float()
    return torch.where(deviation > 0, deviation, torch.ones_like(deviation))
