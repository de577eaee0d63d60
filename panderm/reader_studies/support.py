"""Reader study 2: seven diagnoses by each reader, without and with the model's support."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.core.errors import InputError
from panderm.reader_studies.answers import CLASSES
from panderm.reader_studies.effects import Measure, Resampling, by_group, effect, effects_table

ACCURACY = Measure("accuracy", "right_without", "right_with", 1.0, "accuracy")
LOW, MEDIUM, HIGH = "low", "medium", "high"
QUANTILES = (0.25, 0.75)
"""Quantiles of the entry score that part the experience groups (paper, Methods, reader study 2)."""

READERS = pa.schema(
    [
        ("reader", pa.string()),
        ("entry_score", pa.float64()),
        ("experience", pa.string()),
        ("answers", pa.int64()),
        ("without", pa.float64()),  # accuracy
        ("with", pa.float64()),
        ("mended", pa.float64()),  # share of answers wrong without and right with support
        ("spoiled", pa.float64()),  # the other way round
    ]
)
"""``readers.parquet``."""


class Support(NamedTuple):
    """What study 2 comes to: tables of effects and readers, and a summary as JSON values."""

    effects: pd.DataFrame
    readers: pd.DataFrame
    summary: dict[str, Any]


def experience(scores: pd.Series) -> pd.Series:
    """Return each reader's group by the quantiles of the entry score: at or below 0.25 low, at or above 0.75 high."""
    lower, upper = scores.quantile(list(QUANTILES))
    groups = np.select([scores <= lower, scores >= upper], [LOW, HIGH], default=MEDIUM)
    return pd.Series(groups, index=scores.index, dtype=object)


def analyse(answers: pd.DataFrame, how: Resampling) -> Support:
    """Return effects of support: over all readers, by experience, by class.

    Raises:
        InputError: fewer than two readers.
    """
    people = answers.groupby("reader")["entry_score"].first()
    if len(people) < 2:
        raise InputError(f"the answers hold {len(people)} reader, a paired test over readers needs at least 2")
    frame = answers.assign(
        right_without=(answers["without_support"] == answers["label"]).astype(float),
        right_with=(answers["with_support"] == answers["label"]).astype(float),
        experience=answers["reader"].map(experience(people)),
    )
    rows = [
        effect(frame, ACCURACY, how),
        *by_group(frame, [ACCURACY], how, "experience", (LOW, MEDIUM, HIGH)),
        *by_group(frame, [ACCURACY], how, "label", CLASSES),
    ]
    return Support(effects_table(rows), _readers(frame), _summary(frame))


def _readers(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.assign(
        mended=(frame["right_with"] > frame["right_without"]).astype(float),
        spoiled=(frame["right_with"] < frame["right_without"]).astype(float),
    )
    table = changed.groupby("reader", as_index=False).agg(
        entry_score=("entry_score", "first"),
        experience=("experience", "first"),
        answers=("image", "size"),
        without=("right_without", "mean"),
        **{"with": ("right_with", "mean")},
        mended=("mended", "mean"),
        spoiled=("spoiled", "mean"),
    )
    return pd.DataFrame(table[READERS.names])


def _summary(frame: pd.DataFrame) -> dict[str, Any]:
    scores = frame.groupby("reader")["entry_score"].first()
    known = frame["model"].notna()
    images = frame[known].drop_duplicates("image")
    asked = frame[known & (frame["without_support"] != frame["model"])]
    return {
        "readers": int(frame["reader"].nunique()),
        "answers": len(frame),
        "images": int(frame["image"].nunique()),
        "entry_score_quantiles": [float(scores.quantile(q)) for q in QUANTILES],
        "changed": float((frame["without_support"] != frame["with_support"]).mean()),
        "mended": float((frame["right_with"] > frame["right_without"]).mean()),
        "spoiled": float((frame["right_with"] < frame["right_without"]).mean()),
        "model_accuracy": float((images["model"] == images["label"]).mean()) if len(images) else None,
        "followed_when_it_differed": float((asked["with_support"] == asked["model"]).mean()) if len(asked) else None,
    }
