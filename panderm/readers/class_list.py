"""The delivery's own words for a task's classes, and ``classes.txt``, which says them line by line.

Where one delivery serves several tasks each has its own list, named as its label column: ``classes_74.txt`` for mmt_74.

Most tasks have their classes' names in the catalogue, and a delivery uses those. Where the names are not public the
catalogue holds placeholders (``condition_01`` ...), and the words come with the delivery (docs/deliveries.md).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.checks import refuse
from panderm.readers.csvfile import UnreadableTable, read_text
from panderm.readers.sorting import Sorter

NAME = "classes.txt"
"""File beside the metadata table: one class a line, in index order."""

_ANY = re.compile(r"classes(_\w+)?\.txt", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"condition_\d+")


def own_names(dataset: Dataset) -> tuple[str, str]:
    """Return what a task's own column or list ends with where a delivery serves several: ``mmt_74`` and ``74``."""
    task = dataset.key.rsplit("/", 1)[-1].casefold()
    return task, task.rsplit("_", 1)[-1]


def key(word: str) -> str:
    """Return a word as it is compared: lower case, and one blank for anything that is no letter or digit."""
    return " ".join(re.split(r"[\W_]+", word.casefold())).strip()


class Words(NamedTuple):
    """What a delivery calls the classes.

    Attributes:
        classes: :func:`key` of a word -> class; numbers count from 0.
        problem: one sentence on why other words cannot be told, empty if there is nothing to say.
    """

    classes: dict[str, str]
    problem: str = ""

    def label(self, delivered: pd.Series) -> pd.Series:
        """Return the class of each delivered word; words that are no class stay as delivered."""
        words = values.identifier(delivered)
        return words.map(key, na_action="ignore").map(self.classes).astype("string").fillna(words)

    def mark(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with what is wrong with the class list as reason for all whose label it leaves unknown."""
        if not self.problem:
            return rows
        unknown = rows["label"].notna() & ~rows["label"].isin(list(self.classes.values()))
        return refuse(rows, unknown, Reason.UNKNOWN_LABEL, self.problem)


def read_words(sorter: Sorter, landing: Path, delivered: pd.Series) -> Words:
    """Return what a delivery calls the classes of its task, and sort its ``classes.txt``.

    A word counts that is a class of the catalogue, in any case, parted by blanks or otherwise. A ``classes.txt`` with
    one line a class says the word of each class, and the order that numbers count in; if its lines are the catalogue's
    classes, only that order. Without it, placeholders take the delivered words in alphabetical order, provided there
    are as many as classes.

    Args:
        sorter: of the delivery.
        landing: its folder.
        delivered: the labels as delivered.
    """
    classes = sorter.dataset.classes
    order, problem = classes, ""
    known = {key(name): name for name in classes}
    listed = _listed(sorter, landing, len(classes))
    words = sorted({key(word) for word in values.identifier(delivered).dropna()})
    if listed:
        if {key(name) for name in listed} == set(known):
            order = tuple(known[key(name)] for name in listed)
        else:
            known |= dict(zip([key(name) for name in listed], classes, strict=True))
    elif all(_PLACEHOLDER.fullmatch(name) for name in classes) and not _told(words, known):
        if len(words) == len(classes):
            known |= dict(zip(words, classes, strict=True))
        else:
            problem = f"the delivery has {len(words)} labels for {len(classes)} classes; name the classes in {NAME}, one a line"
    return Words({str(index): name for index, name in enumerate(order)} | known, problem)


def _told(words: list[str], known: dict[str, str]) -> bool:
    """Return whether every word is a class of the catalogue, or its number."""
    return all(word in known or (word.isdecimal() and int(word) < len(known)) for word in words)


def _listed(sorter: Sorter, landing: Path, count: int) -> list[str]:
    """Return the lines of ``classes.txt``; none where it is missing or refused."""
    lists = {path.casefold(): path for path in sorter.files if _ANY.fullmatch(path)}
    name = next((lists[own] for own in (f"classes_{part}.txt" for part in own_names(sorter.dataset)) if own in lists), None)
    name = name or lists.get(NAME)
    sorter.keep([path for path in lists.values() if path != name])  # of the other tasks of this delivery
    if name is None:
        return []
    try:
        lines = [line.strip() for line in read_text(landing / name).splitlines() if line.strip()]
    except UnreadableTable as error:
        sorter.reject([name], Reason.BAD_METADATA, str(error))
        return []
    if len(lines) != count or len({key(line) for line in lines}) != count:
        distinct = len({key(line) for line in lines})
        sorter.reject(
            [name], Reason.BAD_METADATA, f"{name} names {distinct} classes in {len(lines)} lines; the task has {count}"
        )
        return []
    sorter.keep([name])
    return lines
