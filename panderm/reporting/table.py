"""What a task's details are made of: titled tables of text, and figures that can be held against the paper's."""

from __future__ import annotations

from typing import Any, NamedTuple

from panderm.reporting.words import NONE, with_interval

Report = dict[str, Any]
"""A ``report.json``."""


class Table(NamedTuple):
    """A titled table of text.

    Attributes:
        title: what stands above it.
        columns: heads, the unit among them; the first column names the rows.
        rows: as many cells each.
        notes: sentences beneath it: what was left out, why a figure is missing.
        quotes: names of overall figures (``others``) that stand in it, so that they need not stand elsewhere.
        folded: whether it opens on request only.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    quotes: frozenset[str] = frozenset()
    folded: bool = False


class Own(NamedTuple):
    """A figure of ours.

    Attributes:
        name: as the catalogue's ``reported`` calls it.
        words: what it is, for people.
        value: None where it is undefined.
        low: lower end of its interval, None where it has none.
        high: upper end.
    """

    name: str
    words: str
    value: float | None
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """The value with its interval."""
        return with_interval(self.name, self.value, self.low, self.high)


def interval_cell(name: str, figure: Report | None) -> str:
    """Return ``value, low, high`` of a report as a cell; a dash where the report has no such figure."""
    return NONE if figure is None else with_interval(name, figure["value"], figure["low"], figure["high"])
