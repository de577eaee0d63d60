"""What became of the patients of a prognosis task: rows that do not say so in numbers are left out, each with a sentence."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from panderm.curation.telling import told
from panderm.tasks.attributes import attributes

TIME, EVENT = "rfi_months", "recurrence"
NUMBERS = (TIME, EVENT, "breslow", "ulceration", "mitosis")
REASONS, DISAGREES = ("value_is_no_number", "without_time", "without_outcome"), "patient_disagrees"


class Outcomes(NamedTuple):
    """Which rows can be used.

    Attributes:
        usable: whether, for each row.
        left_out: how many are not, by reason.
        notes: a sentence about each of the first of them.
    """

    usable: pd.Series
    left_out: dict[str, int]
    notes: tuple[str, ...]


def outcomes(rows: pd.DataFrame) -> Outcomes:
    """Say which rows have a recurrence-free interval from 0 up, an outcome, and numbers where numbers belong.

    All images of a patient are left out where two of them disagree about the interval or the outcome, since nobody can say
    which of them is right.

    Args:
        rows: columns ``image_id, patient_id, group, attributes``.
    """
    raw = attributes(rows, NUMBERS)
    values: pd.DataFrame = raw.apply(pd.to_numeric, errors="coerce").astype("float64")
    wrong = [_wrong(raw.loc[row], values.loc[row]) for row in rows.index]
    usable = pd.Series([one is None for one in wrong], index=rows.index, dtype=bool)
    clash = _disagreeing(rows[usable], values[usable])
    strange = patient_of(rows).isin(clash) & usable
    found = [
        (f"image {image} is left out: {one[1]}", one[0]) for image, one in zip(rows["image_id"], wrong, strict=True) if one
    ]
    left_out = {reason: sum(why == reason for _, why in found) for reason in REASONS} | {DISAGREES: int(strange.sum())}
    sentences = [*(sentence for sentence, _ in found), *clash.values()]
    notes = told(sentences, "images or patients are left out for the same reasons")
    return Outcomes(usable & ~strange, left_out, tuple(notes))


def patient_of(rows: pd.DataFrame) -> pd.Series:
    """Return each row's patient; where none is named, what must stay together stands for one."""
    return rows["patient_id"].fillna(rows["group"]).astype(object)


def _wrong(said: pd.Series, known: pd.Series) -> tuple[str, str] | None:
    """Return of a row the reason why it cannot be used, and a sentence; None if it can.

    Args:
        said: its values as delivered.
        known: the same as numbers, NaN where they are missing or none.
    """
    for name in NUMBERS:
        if pd.notna(said[name]) and math.isnan(known[name]):
            return REASONS[0], f"its {name} is {said[name]!r}, but a number is needed"
    time, event = known[TIME], known[EVENT]
    if not (math.isfinite(time) and time >= 0):
        missing = "it has a recurrence, but no time of it" if event == 1 else "it has no recurrence-free interval"
        seen = missing if math.isnan(time) else f"its recurrence-free interval is {time:g} months"
        return REASONS[1], f"{seen}; a number of months from 0 up ({TIME}) is needed"
    if event not in (0, 1):
        seen = "it does not say" if math.isnan(event) else f"it says {event:g}"
        return REASONS[2], f"{seen} whether the melanoma came back ({EVENT}); 1 (yes) or 0 (no) is needed"
    return None


def _disagreeing(rows: pd.DataFrame, values: pd.DataFrame) -> dict[str, str]:
    """Return the patients whose images disagree, and in what."""
    patient = patient_of(rows)
    clash: dict[str, str] = {}
    for name in (TIME, EVENT):
        several = values[name].groupby(patient).nunique()
        for who in several.index[several > 1]:
            mine = (patient == who).to_numpy()
            said = ", ".join(f"{i} ({v:g})" for i, v in zip(rows["image_id"][mine], values[name][mine], strict=True))
            clash.setdefault(str(who), f"patient {who} is left out: the images differ in {name}: {said}")
    return clash
