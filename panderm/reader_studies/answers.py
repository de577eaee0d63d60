"""Answers tables: which columns each study needs, and how one is read. A wrong cell is one sentence that names its row.

Rows are counted from 1 without the heading, so row 1 of a CSV is its second line.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from panderm.core.errors import InputError

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""The seven diagnoses of study 2: HAM10000's, in the catalogue's order."""

SYNTHETIC = "synthetic"
"""Optional column of every study: true in each row of made-up answers, and then every output says so."""


class Column(NamedTuple):
    """One column of an answers table.

    Attributes:
        name: heading.
        means: what it holds, in words.
        choices: allowed words; any text if empty and the range is unbounded.
        low: least number allowed; None for text.
        high: largest number allowed.
        whole: only whole numbers.
        needed: whether the column has to be there and every cell filled.
    """

    name: str
    means: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    needed: bool = True


class Design(NamedTuple):
    """What a study's table looks like.

    Attributes:
        number: 1, 2 or 3.
        title: in a few words.
        columns: its columns.
        key: columns that together name one row.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]


_READER = Column("reader", "who answered; any name, the same throughout")
_CALLS = ("benign", "malignant")
DESIGNS: dict[int, Design] = {
    1: Design(
        1,
        "early melanoma in sequences over time",
        (
            _READER,
            Column("kind", "a person, or the model on the same images", ("reader", "model")),
            Column("experience", "group of the reader, e.g. experienced", needed=False),
            Column("sequence", "the lesion"),
            Column("time_point", "number that grows with time: 1, 2, 3 or months", low=0, high=np.inf),
            Column("label", "what the lesion is, equal throughout its sequence", _CALLS),
            Column("answer", "what was said of this image", _CALLS),
        ),
        ("reader", "sequence", "time_point"),
    ),
    2: Design(
        2,
        "seven diagnoses without and with support",
        (
            _READER,
            Column("entry_score", "the reader's share right before the study, equal throughout", low=0, high=1),
            Column("image", "the image"),
            Column("label", "its diagnosis", CLASSES),
            Column("without_support", "the reader's diagnosis alone", CLASSES),
            Column("with_support", "the same reader's, having seen the model's", CLASSES),
            Column("model", "the model's likeliest diagnosis", CLASSES, needed=False),
        ),
        ("reader", "image"),
    ),
    3: Design(
        3,
        "128 skin conditions without and with support",
        (
            _READER,
            Column("specialty", "group of the reader, equal throughout, e.g. dermatologist"),
            Column("image", "the image"),
            Column("label", "its condition"),
            Column("condition_group", "group of the condition, e.g. inflammatory"),
            Column("diagnosis_without", "the reader's first diagnosis alone"),
            Column("diagnosis_with", "the same reader's, having seen the model's"),
            Column("score_without", "that diagnosis on the ontology scale: 1 (unrelated) to 4 (the condition)", (), 1, 4, True),
            Column("score_with", "likewise with support", (), 1, 4, True),
            Column("top3_without", "whether the condition is among the reader's three diagnoses", (), 0, 1, True),
            Column("top3_with", "likewise with support", (), 0, 1, True),
            Column("confidence_without", "how sure the reader is, 1 (not) to 4 (very)", (), 1, 4),
            Column("confidence_with", "likewise with support", (), 1, 4),
        ),
        ("reader", "image"),
    ),
}
"""What each study needs. Scales the paper leaves open (confidence, wording of the four points) are ours."""


class Answers(NamedTuple):
    """A table that was read.

    Attributes:
        frame: its rows, columns of the design in its order; those that may be missing are null then.
        synthetic: whether the answers are made up.
    """

    frame: pd.DataFrame
    synthetic: bool


def read_answers(path: Path, study: int) -> Answers:
    """Read and check an answers table, CSV or parquet.

    Raises:
        InputError: the file or a column is missing, a cell is empty or not allowed, an answer is there twice, something that
            belongs to a reader, an image or a lesion changes, or real and synthetic answers are mixed.
    """
    frame = _read(path)
    design = DESIGNS[study]
    if missing := [column.name for column in design.columns if column.needed and column.name not in frame]:
        names = ", ".join(column.name for column in design.columns if column.needed)
        raise InputError(f"{path.name} has no column {missing[0]!r}; reader study {study} needs {names}")
    if frame.empty:
        raise InputError(f"{path.name} has no row; an answer a row is needed")
    checked = pd.DataFrame({column.name: _checked(frame, column, path.name) for column in design.columns})
    twice = checked.duplicated(list(design.key)).to_numpy()
    if twice.any():
        said = ", ".join(f"{name} {checked[name].iloc[int(twice.argmax())]}" for name in design.key)
        raise InputError(f"{_row(path.name, twice)}: {said} was answered before; keep one answer of each")
    _check_constant(checked, study, path.name)
    return Answers(checked.sort_values(list(design.key), ignore_index=True), _synthetic(frame, path.name))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} is missing; name the answers table, CSV or parquet")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # what pandas and pyarrow say of files that are something else
        raise InputError(f"{path.name} is not a table ({str(error).splitlines()[0]}); write it as CSV or parquet") from error


def _checked(frame: pd.DataFrame, column: Column, name: str) -> pd.Series:
    if column.name not in frame:
        return pd.Series([None] * len(frame), dtype=object)
    text = frame[column.name].reset_index(drop=True).astype(object)  # parquet may hold categories, which take no other value
    text = text.where(text.notna(), "").map(str).str.strip()
    empty = (text == "").to_numpy()
    if column.needed and empty.any():
        raise InputError(f"{_row(name, empty)}: {column.name!r} is empty; needed: {_allowed(column)}")
    if column.low is not None and column.high is not None:
        # Parquet may hold flags as booleans.
        numbers = pd.to_numeric(text.replace({"True": "1", "False": "0"}), errors="coerce")
        wrong = ~numbers.between(column.low, column.high) | (numbers % 1 != 0 if column.whole else False)
        _refuse(name, column, text, wrong.to_numpy() & ~empty)
        return numbers.astype("float64")
    if column.choices:
        text = text.str.lower()
        _refuse(name, column, text, ~text.isin(column.choices).to_numpy() & ~empty)
    return text.astype(object).where(~empty, None)


def _refuse(name: str, column: Column, text: pd.Series, wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    if wrong.any():
        seen = text.iloc[int(wrong.argmax())]
        raise InputError(f"{_row(name, wrong)}: {column.name!r} is {seen!r}, allowed: {_allowed(column)}; mend the row")


def _allowed(column: Column) -> str:
    if column.choices:
        return ", ".join(column.choices)
    if column.low is not None:
        kind = "whole numbers" if column.whole else "numbers"
        return f"{kind} from {column.low:g}" + ("" if column.high == np.inf else f" to {column.high:g}")
    return column.means


def _row(name: str, wrong: np.ndarray) -> str:  # type: ignore[type-arg]
    return f"{name}, row {int(wrong.argmax()) + 1}"


def _check_constant(frame: pd.DataFrame, study: int, name: str) -> None:
    """Refuse a value that has to be equal throughout a reader, image or lesion and is not."""
    of_study = {
        1: (("sequence", "label"), ("reader", "kind"), ("reader", "experience")),
        2: (("image", "label"), ("reader", "entry_score"), ("image", "model")),
        3: (("image", "label"), ("label", "condition_group"), ("reader", "specialty")),
    }
    for owner, column in of_study[study]:
        first = frame.groupby(owner)[column].transform(lambda values: values.iloc[0])
        differs = ((frame[column] != first) & ~(frame[column].isna() & first.isna())).to_numpy()
        if differs.any():
            place = int(differs.argmax())
            raise InputError(
                f"{_row(name, differs)}: {owner} {frame[owner].iloc[place]} has {column} {frame[column].iloc[place]}, but "
                f"{first.iloc[place]} above; it has to be one throughout"
            )


def _synthetic(frame: pd.DataFrame, name: str) -> bool:
    if SYNTHETIC not in frame:
        return False
    said = frame[SYNTHETIC].astype(str).str.lower().isin({"true", "1"})
    if said.any() and not said.all():
        raise InputError(f"{name} mixes synthetic and real answers; split the table")
    return bool(said.all())
