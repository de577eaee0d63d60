"""The two tables of an evaluation: one row a test image, and one row a figure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

METRICS = pa.schema(
    [
        ("scope", pa.string()),  # overall | class | subgroup
        ("name", pa.string()),  # class, or "sex=female"; empty for overall
        ("metric", pa.string()),
        ("value", pa.float64()),  # null where it is undefined
        ("low", pa.float64()),  # null where there is no interval
        ("high", pa.float64()),
        ("n", pa.int64()),  # images it rests on
        ("groups", pa.int64()),  # patients, else lesions, else images it rests on
        ("reason", pa.string()),  # why there is no value or no interval, null otherwise
    ]
)
"""``metrics.parquet``."""


class Figure(NamedTuple):
    """One row of :data:`METRICS`."""

    scope: str
    name: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    groups: int
    reason: str | None = None


def predictions_schema(classes: int) -> pa.Schema:
    """Return the columns of ``predictions.parquet`` for a task of so many classes, one row a test image."""
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("group", pa.string()),  # what is drawn together in a replicate
            ("target", pa.int32()),
            ("label", pa.string()),
            ("predicted", pa.int32()),  # the likeliest class; the first of equals
            *((f"p_{index}", pa.float32()) for index in range(classes)),
            ("age", pa.float64()),
            ("sex", pa.string()),
            ("site", pa.string()),
            ("skin_type", pa.string()),
        ]
    )


def predictions_frame(rows: pd.DataFrame, probabilities: NDArray[np.float32]) -> pd.DataFrame:
    """Return the predictions table of split rows and their class probabilities (N, C), sorted by image_id."""
    scores = {f"p_{index}": probabilities[:, index] for index in range(probabilities.shape[1])}
    frame = rows.reset_index(drop=True).assign(predicted=probabilities.argmax(axis=1), **scores)
    return frame.sort_values("image_id", ignore_index=True)


def probabilities_of(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """Return the class probabilities (N, C) of a predictions table."""
    columns = [name for name in predictions.columns if name.startswith("p_")]
    return predictions[columns].to_numpy(dtype=np.float64)
