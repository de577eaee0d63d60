"""The device's 32 measurements as inputs of the trees: missing ones filled, the body region as indicators."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.config import FrozenConfig
from panderm.readers.vectra import MEASUREMENTS
from panderm.tasks.attributes import attributes, numbers

REGION = "location_simple"
NUMBERS = tuple(name for name in MEASUREMENTS if name != REGION)


class Encoded(NamedTuple):
    """Inputs of the trees.

    Attributes:
        values: (N, F) float64, finite.
        missing: how many of a row's measurements were missing, (N,).
    """

    values: NDArray[np.float64]
    missing: NDArray[np.int64]


class Encoding(FrozenConfig):
    """How measurements become inputs; everything in it is learnt from the training lesions alone.

    Attributes:
        medians: by measurement, in the device's order; they stand in for missing values. 0 where no training lesion has it.
        regions: values of ``location_simple`` in training, sorted; each is an indicator, another or none sets none of them.
        never_measured: measurements that no training lesion has.
    """

    medians: dict[str, float]
    regions: tuple[str, ...]
    never_measured: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Encoding:
        """Return the encoding of training rows (columns ``image_id``, ``attributes``)."""
        values = numbers(rows, NUMBERS)
        medians = {name: 0.0 if values[name].isna().all() else float(values[name].median()) for name in NUMBERS}
        regions = attributes(rows, [REGION])[REGION].dropna().astype(str).str.casefold()
        absent = tuple(name for name in NUMBERS if values[name].isna().all())
        return cls(medians=medians, regions=tuple(sorted(regions.unique())), never_measured=absent)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return (*self.medians, *(f"{REGION}={name}" for name in self.regions))

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Return the inputs of rows (columns ``image_id``, ``attributes``)."""
        values = numbers(rows, self.medians)
        region = attributes(rows, [REGION])[REGION]
        missing = values.isna().sum(axis=1) + region.isna()
        filled = values.fillna(self.medians).to_numpy(dtype=np.float64)
        words = region.astype("string").str.casefold()
        marks = [(words == name).fillna(False).to_numpy(dtype=np.float64) for name in self.regions]
        return Encoded(np.column_stack([filled, *marks]), missing.to_numpy(dtype=np.int64))

    def by_measurement(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what inputs (N, F) add up to by measurement (N, 32): indicators of the region are summed, last of all."""
        count = len(self.medians)
        return np.column_stack([values[:, :count], values[:, count:].sum(axis=1)])
