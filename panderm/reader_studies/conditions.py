"""Reader study 3: 128 conditions, with score on the ontology scale, top-3 accuracy, confidence and change of diagnosis."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import cluster_bootstrap
from panderm.evaluation.metrics import mean_statistic
from panderm.reader_studies.effects import Measure, Resampling, by_group, effect, effects_table

SCORE = Measure("top1_score", "score_without", "score_with", 3.0, "top-1 score (1 to 4)")
TOP3 = Measure("top3_accuracy", "top3_without", "top3_with", 1.0, "top-3 accuracy")
CONFIDENCE = Measure("confidence", "confidence_without", "confidence_with", 3.0, "confidence (1 to 4)")
MEASURES = (SCORE, TOP3, CONFIDENCE)

CHANGES = pa.schema(
    [
        ("family", pa.string()),  # overall | specialty | condition_group
        ("name", pa.string()),
        ("answers", pa.int64()),
        ("changed", pa.float64()),  # share of first diagnoses that support changed
        ("low", pa.float64()),  # over replicates that draw whole readers
        ("high", pa.float64()),
        ("better", pa.float64()),  # share of answers whose score rose with the change
        ("worse", pa.float64()),
    ]
)
"""``changes.parquet``."""


class Conditions(NamedTuple):
    """What study 3 comes to: tables of effects and of changed diagnoses, and a summary as JSON values."""

    effects: pd.DataFrame
    changes: pd.DataFrame
    summary: dict[str, Any]


def analyse(answers: pd.DataFrame, how: Resampling) -> Conditions:
    """Return effects of support: over readers, over classes, by specialty and by condition group.

    Raises:
        InputError: fewer than two readers.
    """
    readers = int(answers["reader"].nunique())
    if readers < 2:
        raise InputError(f"the answers hold {readers} reader, a paired test over readers needs at least 2")
    before, after = (answers[name].str.casefold() for name in ("diagnosis_without", "diagnosis_with"))
    frame = answers.assign(changed=(before != after).astype(float))
    rows = [effect(frame, measure, how) for measure in MEASURES]
    rows += [effect(frame, measure, how, family="over classes", unit="label") for measure in MEASURES]
    rows += by_group(frame, MEASURES, how, "specialty")
    rows += by_group(frame, MEASURES, how, "condition_group")
    parts = [("overall", "", frame)]
    for column in ("specialty", "condition_group"):
        parts += [(column, str(name), part) for name, part in frame.groupby(column)]
    changes = pd.DataFrame([_change(*part, how) for part in parts], columns=CHANGES.names)
    summary = {
        "readers": readers,
        "answers": len(frame),
        "images": int(frame["image"].nunique()),
        "conditions": int(frame["label"].nunique()),
        "change_rate": float(frame["changed"].mean()),
    }
    return Conditions(effects_table(rows), changes, summary)


def _change(family: str, name: str, part: pd.DataFrame, how: Resampling) -> dict[str, Any]:
    found = cluster_bootstrap(
        mean_statistic(part["changed"]),
        part["reader"].to_numpy(dtype=str),
        replicates=how.replicates,
        seed=how.seed,
        level=how.level,
    )
    return {
        "family": family,
        "name": name,
        "answers": len(part),
        "changed": found.value,
        "low": found.low,
        "high": found.high,
        "better": float((part["score_with"] > part["score_without"]).mean()),
        "worse": float((part["score_with"] < part["score_without"]).mean()),
    }
