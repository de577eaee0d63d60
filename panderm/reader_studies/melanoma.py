"""Reader study 1: at which image of a sequence is a melanoma first called one, by each reader and by the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Interval, cluster_bootstrap
from panderm.evaluation.first_correct import first_correct, first_correct_call, found_by
from panderm.evaluation.metrics import mean_statistic
from panderm.evaluation.multiple import holm
from panderm.reader_studies.effects import Resampling

READERS = pa.schema(
    [
        ("reader", pa.string()),
        ("kind", pa.string()),  # reader | model
        ("experience", pa.string()),
        ("images", pa.int64()),  # answered
        ("accuracy", pa.float64()),  # over images
        ("sensitivity", pa.float64()),
        ("specificity", pa.float64()),
        ("melanomas", pa.int64()),  # malignant sequences read
        ("at_first", pa.int64()),  # of those, called malignant at the first image
        ("at_first_share", pa.float64()),
        ("ever", pa.int64()),  # called malignant at some image
        ("model_only", pa.int64()),  # melanomas the model found at the first image and this reader did not
        ("reader_only", pa.int64()),  # the other way round
        ("p", pa.float64()),  # McNemar's exact test of those two
        ("p_holm", pa.float64()),  # over readers
    ]
)
"""``readers.parquet``: one row a reader and one for the model."""

FIRST = pa.schema(
    [
        ("reader", pa.string()),
        ("sequence", pa.string()),
        ("images", pa.int64()),
        ("first", pa.int64()),  # position of the first correct malignant call, null if there is none
        ("time_point", pa.float64()),
    ]
)
"""``first_correct.parquet``: one row a reader and malignant sequence."""


class EarlyMelanoma(NamedTuple):
    """What study 1 comes to.

    Attributes:
        readers: :data:`READERS`.
        first: :data:`FIRST`.
        curves: share of melanomas found by image 1, 2, .. for each reader.
        summary: model against the mean reader, JSON values.
    """

    readers: pd.DataFrame
    first: pd.DataFrame
    curves: dict[str, list[float]]
    summary: dict[str, Any]


def with_model(answers: pd.DataFrame, predictions: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """Return the answers with the model's as rows of reader ``model``, from probabilities.

    Args:
        answers: table of study 1, without a model.
        predictions: ``sequence``, ``time_point``, ``probability``, ``label`` (1 malignant), as the sequences task writes.
        threshold: an image is called malignant at this probability or above.

    Raises:
        InputError: there is a model already, or the predictions cannot be.
    """
    if (answers["kind"] == "model").any():
        raise InputError("the answers hold a model already; leave out --model, or the model's rows")
    first_correct(predictions, threshold)  # checks the table
    words = np.array(["benign", "malignant"])
    rows = pd.DataFrame(
        {
            "reader": "model",
            "kind": "model",
            "experience": None,
            "sequence": predictions["sequence"].astype(str),
            "time_point": predictions["time_point"].astype("float64"),
            "label": words[predictions["label"].to_numpy(dtype=np.intp)],
            "answer": words[(predictions["probability"].to_numpy() >= threshold).astype(np.intp)],
        }
    )
    return pd.concat([answers, rows], ignore_index=True)


def analyse(answers: pd.DataFrame, how: Resampling) -> EarlyMelanoma:
    """Return counts, curves and tests of study 1.

    The model is held against each reader by McNemar's exact test on the melanomas that this reader saw, and against the
    mean reader by a two-sided t-test over readers; Holm's adjustment is over readers.

    Raises:
        InputError: there is not exactly one model, fewer than two readers, no melanoma, or an image the model has not seen.
    """
    frame = answers.assign(called=answers["answer"] == "malignant", truth=answers["label"] == "malignant")
    model, people = _sides(frame)
    _check_seen(frame, model)
    first = pd.concat(
        [_first(part).assign(reader=reader) for reader, part in frame.groupby("reader")],
        ignore_index=True,
    )[FIRST.names]
    table = pd.DataFrame([_row(reader, frame, first, model) for reader in [model, *people]], columns=READERS.names)
    table["p_holm"] = holm(table["p"])
    longest = int(first["images"].max())
    curves = {str(reader): [n / len(part) for n in found_by(part, longest)] for reader, part in first.groupby("reader")}
    return EarlyMelanoma(table, first, curves, _summary(frame, table, first, model, people, how))


def _sides(frame: pd.DataFrame) -> tuple[str, list[str]]:
    models = sorted(frame.loc[frame["kind"] == "model", "reader"].unique())
    people = sorted(frame.loc[frame["kind"] == "reader", "reader"].unique())
    if len(models) != 1:
        raise InputError(f"the answers hold {len(models)} models, study 1 compares one; give one model's rows, or --model")
    if len(people) < 2:
        raise InputError(f"the answers hold {len(people)} readers, a test over readers needs at least 2")
    if not frame["truth"].any():
        raise InputError("no lesion is malignant, so there is no melanoma to be found early; see column 'label'")
    return str(models[0]), [str(name) for name in people]


def _check_seen(frame: pd.DataFrame, model: str) -> None:
    shown = frame[frame["reader"] == model].set_index(["sequence", "time_point"]).index
    unseen = frame[~pd.MultiIndex.from_frame(frame[["sequence", "time_point"]]).isin(shown)]
    if len(unseen):
        row = unseen.iloc[0]
        raise InputError(
            f"reader {row['reader']} answered sequence {row['sequence']} at time point {row['time_point']:g}, the model did "
            f"not; both have to see the same images"
        )
    labels = frame.groupby("sequence")["label"].nunique()
    if (labels > 1).any():  # within a table read_answers sees to it; here a model's table may say otherwise
        raise InputError(f"sequence {labels.index[labels > 1][0]} is benign in one table and malignant in the other; mend it")


def _first(part: pd.DataFrame) -> pd.DataFrame:
    return first_correct_call(part.assign(label=part["truth"].astype(int)))


def _row(reader: str, frame: pd.DataFrame, first: pd.DataFrame, model: str) -> dict[str, Any]:
    from scipy.stats import binomtest

    mine = frame[frame["reader"] == reader]
    right, truth = (mine["called"] == mine["truth"]).to_numpy(), mine["truth"].to_numpy()
    early, theirs = _at_first(first, reader), _at_first(first, model)
    theirs = theirs.reindex(early.index)
    better, worse = int((theirs & ~early).sum()), int((early & ~theirs).sum())
    alone = reader == model
    return {
        "reader": reader,
        "kind": mine["kind"].iloc[0],
        "experience": mine["experience"].iloc[0],
        "images": len(mine),
        "accuracy": right.mean(),
        "sensitivity": right[truth].mean() if truth.any() else np.nan,
        "specificity": right[~truth].mean() if (~truth).any() else np.nan,
        "melanomas": len(early),
        "at_first": int(early.sum()),
        "at_first_share": early.mean() if len(early) else np.nan,
        "ever": int(first.loc[first["reader"] == reader, "first"].notna().sum()),
        "model_only": None if alone else better,
        "reader_only": None if alone else worse,
        "p": np.nan if alone else (binomtest(better, better + worse).pvalue if better + worse else 1.0),
    }


def _at_first(first: pd.DataFrame, reader: str) -> pd.Series:
    mine = first[first["reader"] == reader].set_index("sequence")["first"]
    return (mine == 1).fillna(False).astype(bool)


def _summary(
    frame: pd.DataFrame, table: pd.DataFrame, first: pd.DataFrame, model: str, people: list[str], how: Resampling
) -> dict[str, Any]:
    crowd = table[table["kind"] == "reader"]
    ours = table[table["reader"] == model].iloc[0]
    early = _at_first(first, model)
    right = (frame["called"] == frame["truth"]).astype(float)
    mine = (frame["reader"] == model).to_numpy()
    sequences = frame["sequence"].to_numpy(dtype=str)
    return {
        "melanomas": int(ours["melanomas"]),
        "sequences": int(frame["sequence"].nunique()),
        "readers": len(people),
        "at_first": {
            "model": int(ours["at_first"]),
            "readers_mean": float(crowd["at_first"].mean()),
            "readers_best": int(crowd["at_first"].max()),
        },
        "at_first_share": {
            "model": _ends(_drawn(early.to_numpy(), np.arange(len(early)), how)),
            "readers": _ends(_drawn(crowd["at_first_share"].to_numpy(), crowd["reader"].to_numpy(), how)),
            "test": _one_sample(crowd["at_first_share"].to_numpy(), float(ours["at_first_share"])),
        },
        "accuracy": {
            "model": _ends(_drawn(right[mine].to_numpy(), sequences[mine], how)),
            "readers": _ends(_drawn(crowd["accuracy"].to_numpy(), crowd["reader"].to_numpy(), how)),
            "readers_best": float(crowd["accuracy"].max()),
            "test": _one_sample(crowd["accuracy"].to_numpy(), float(ours["accuracy"])),
        },
    }


def _drawn(values: Any, groups: Any, how: Resampling) -> Interval:
    return cluster_bootstrap(mean_statistic(values), groups, replicates=how.replicates, seed=how.seed, level=how.level)


def _ends(interval: Interval) -> dict[str, float | None]:
    known = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(value) else float(value) for name, value in known.items()}


def _one_sample(readers: Any, model: float) -> dict[str, float | None]:
    """Return the two-sided t-test over readers that their mean is the model's figure."""
    from scipy.stats import ttest_1samp

    if np.ptp(readers) == 0:
        return {"difference": float(model - readers.mean()), "t": None, "p": None}
    found = ttest_1samp(readers, model)
    return {"difference": float(model - readers.mean()), "t": -float(found.statistic), "p": float(found.pvalue)}
