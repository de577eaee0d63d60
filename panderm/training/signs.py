"""Signs of a representation that collapses, from the class tokens of a fixed set of images.

An encoder can lower its loss while it maps everything to nearly the same vector, or to a few directions. The loss does not
show that; these figures do. Shapes: N images, D feature width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


class Signs(NamedTuple):
    """What a set of class tokens says about the space they span.

    Attributes:
        feature_std: mean deviation of a channel over images, of tokens of length 1, times the root of D (Chen and He,
            SimSiam, 2021): 0 all images are one vector, 1 they point everywhere alike.
        effective_rank: exp of the entropy of the centred tokens' singular values (Roy and Vetterli, 2007): how many
            directions they use, 1 to ``min(N - 1, D)``.
        neighbour_within: mean cosine to the nearest other image of the same modality, None where none has two images.
        neighbour_across: mean cosine to the nearest image of another modality, None where there is only one.
    """

    feature_std: float
    effective_rank: float
    neighbour_within: float | None
    neighbour_across: float | None


def signs(features: Features, modalities: NDArray[np.str_]) -> Signs:
    """Return the signs of class tokens (N, D) of images whose modalities (N,) are known; N is at least 2."""
    unit = _unit(features)
    same = modalities[:, None] == modalities[None, :]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)  # no image is its own neighbour
    return Signs(
        feature_std=float(unit.std(axis=0).mean() * np.sqrt(unit.shape[1])),
        effective_rank=effective_rank(unit),
        neighbour_within=_nearest(np.where(same, cosines, -np.inf)),
        neighbour_across=_nearest(np.where(same, -np.inf, cosines)),
    )


def effective_rank(features: NDArray[np.float64]) -> float:
    """Return exp of the entropy of the singular values of centred features (N, D); 0 where they are all the same."""
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    if values[0] < 1e-9:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unit(features: Features) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    length: NDArray[np.float64] = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.maximum(length, 1e-12)
    return unit


def _nearest(cosines: NDArray[np.float64]) -> float | None:
    """Return the mean over images of the largest cosine allowed, None where no image has one."""
    best = cosines.max(axis=1)
    found = best[np.isfinite(best)]
    return float(found.mean()) if len(found) else None
