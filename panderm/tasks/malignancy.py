"""Whether a lesion is malignant, as its row's attribute says: 1 or 0."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.curation.telling import told
from panderm.tasks.attributes import attributes

MALIGNANT, UNKNOWN = "malignant", "malignancy_unknown"
"""The attribute, and what lesions are counted under that do not say it."""


def malignant(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return 1 for each lesion that is said to be malignant, else 0, (N,)."""
    ill: NDArray[np.int64] = (_said(rows) == 1).to_numpy().astype(np.int64)
    return ill


def known(task: str, rows: pd.DataFrame) -> tuple[pd.Series, tuple[str, ...]]:
    """Return which lesions say whether they are malignant, and a sentence about each of the first others.

    Args:
        task: the benchmark's key.
        rows: columns ``image_id`` and ``attributes``.

    Raises:
        InputError: none says.
    """
    says = _said(rows).notna()
    sentences = [
        f"image {image} is left out: it {_seen(said)} whether it is malignant; deliver the column `pathology`"
        for image, said in zip(rows["image_id"][~says], attributes(rows[~says], [MALIGNANT])[MALIGNANT], strict=True)
    ]
    if not says.any():
        raise InputError(f"{task}: none of its {len(rows)} lesions says whether it is malignant ({sentences[0]})")
    return says, tuple(told(sentences, "images are left out for the same reason"))


def _said(rows: pd.DataFrame) -> pd.Series:
    """Return 1.0 or 0.0, NaN where a row says neither."""
    said = pd.to_numeric(attributes(rows, [MALIGNANT])[MALIGNANT], errors="coerce").astype("float64")
    return said.where(said.isin((0, 1)))


def _seen(said: str | float | None) -> str:
    return "does not say" if pd.isna(said) else f"says {said!r}"
