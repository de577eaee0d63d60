"""Several tests at once: Holm's adjustment (Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm-adjusted p-values, (n,), in the order given.

    A test that gave no p-value (NaN) stays NaN and does not count among the tests.
    """
    given = np.asarray(p_values, dtype=np.float64).reshape(-1)
    adjusted = np.full(len(given), np.nan)
    known = ~np.isnan(given)
    if known.any():
        from statsmodels.stats.multitest import multipletests

        adjusted[known] = multipletests(given[known], method="holm")[1]
    return adjusted
