"""At which image of a lesion's sequence over time is a melanoma first called one: the paper's reader study 1."""

from __future__ import annotations

import numpy as np
import pandas as pd

from panderm.core.errors import InputError

COLUMNS = ("sequence", "time_point", "label")


def first_correct(frame: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """Return the first correct malignant call of each malignant sequence, from probabilities.

    Args:
        frame: one row an image: ``sequence``, ``time_point`` (a number that grows with time), ``probability`` of malignant
            (0 to 1), ``label`` (1 malignant, 0 benign; of the lesion, so equal throughout a sequence).
        threshold: an image is called malignant at this probability or above.

    Returns:
        As :func:`first_correct_call`.

    Raises:
        InputError: a column is missing, a probability is out of range, an image is there twice or a label changes.
    """
    if "probability" not in frame:
        raise InputError("the sequences have no column 'probability'; needed: sequence, time_point, probability, label")
    wrong = ~frame["probability"].between(0, 1).to_numpy()  # NaN too
    if wrong.any():
        row = frame.iloc[int(np.flatnonzero(wrong)[0])]
        where = f"sequence {row['sequence']!r}, time point {row['time_point']}"
        raise InputError(f"{where}: probability is {row['probability']}, allowed: 0 to 1; mend the row")
    return first_correct_call(frame.assign(called=frame["probability"] >= threshold))


def first_correct_call(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the first correct malignant call of each malignant sequence, from calls.

    Args:
        frame: one row an image: ``sequence``, ``time_point``, ``called`` (whether it was called malignant), ``label``.

    Returns:
        One row a malignant sequence, sorted by it: ``sequence``, ``images``, ``first`` (the position in the sequence, 1 for
        its first image, of the first call; null if it was never called malignant), ``time_point`` (of that image, null too).

    Raises:
        InputError: a column is missing, an image is there twice or a label changes within a sequence.
    """
    _check(frame)
    malignant = frame[frame["label"].to_numpy() == 1].sort_values(["sequence", "time_point"], kind="stable")
    position = malignant.groupby("sequence").cumcount() + 1
    seen = malignant.assign(position=position)
    hits = seen[seen["called"].to_numpy(dtype=bool)].groupby("sequence").first()
    images = malignant.groupby("sequence").size()
    found = pd.DataFrame({"sequence": images.index, "images": images.to_numpy(dtype=np.int64)})
    found["first"] = hits["position"].reindex(images.index).astype("Int64").array
    found["time_point"] = hits["time_point"].reindex(images.index).astype("Float64").array
    return found


def found_by(first: pd.DataFrame, images: int) -> list[int]:
    """Return how many sequences have a correct call by image 1, 2, .. ``images``."""
    place = first["first"].astype("float64")
    return [int((place <= n).sum()) for n in range(1, images + 1)]


def _check(frame: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in frame]:
        raise InputError(f"the sequences have no column {missing[0]!r}; needed: {', '.join(COLUMNS)} and the calls")
    twice = frame.duplicated(["sequence", "time_point"]).to_numpy()
    if twice.any():
        row = frame.iloc[int(np.flatnonzero(twice)[0])]
        raise InputError(f"sequence {row['sequence']!r} has time point {row['time_point']} twice; keep one image a time point")
    labels = frame.groupby("sequence")["label"].nunique(dropna=False)
    if (labels > 1).any():
        raise InputError(
            f"sequence {labels.index[labels > 1][0]!r} is malignant and benign; the label is of the lesion, equal throughout"
        )
