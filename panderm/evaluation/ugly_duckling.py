"""The ugly duckling: a lesion that is unlike the patient's others (paper, Methods, Total-body screening).

Distance is Euclidean to the patient's mean feature, and an outlier lies above the third quartile by a multiple of the
interquartile range. The paper names the mean and the interquartile rule; distance and multiplier (1.5, Tukey's) are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLE = 1.5
LEAST_LESIONS = 5
"""Lesions a patient needs: quartiles of fewer say nothing (ours)."""


class Ducklings(NamedTuple):
    """How far each lesion is from its patient's others.

    Attributes:
        distance: (N,), in units of the features.
        fence: what a distance has to be above to stand out, (N,); infinite for patients of too few lesions.
    """

    distance: NDArray[np.float64]
    fence: NDArray[np.float64]

    @property
    def stands_out(self) -> NDArray[np.bool_]:
        """Which lesions do, (N,)."""
        answer: NDArray[np.bool_] = self.distance > self.fence
        return answer


def ducklings(features: ArrayLike, patients: ArrayLike, multiple: float = MULTIPLE, least: int = LEAST_LESIONS) -> Ducklings:
    """Return distances and fences, patient by patient.

    Args:
        features: (N, D).
        patients: whose each lesion is, (N,).
        multiple: of the interquartile range.
        least: lesions below which none of a patient's stands out.
    """
    rows, names = np.asarray(features, dtype=np.float64), np.asarray(patients)
    distance, fence = np.zeros(len(rows)), np.full(len(rows), np.inf)
    for name in np.unique(names):
        mine = np.flatnonzero(names == name)
        distance[mine] = np.linalg.norm(rows[mine] - rows[mine].mean(axis=0), axis=1)
        if len(mine) >= least:
            first, third = np.quantile(distance[mine], [0.25, 0.75])
            fence[mine] = third + multiple * (third - first)
    return Ducklings(distance, fence)
