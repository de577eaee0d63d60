"""What a run of curate has to say of single rows, in a record that stays readable."""

from __future__ import annotations

NAMED = 10
"""Sentences of one sort that a record holds; more are counted. A record is for reading, tables are for finding."""


def told(sentences: list[str], others: str) -> list[str]:
    """Return the first :data:`NAMED` sentences and, where there are more, how many and ``others``: what they have in common."""
    more = len(sentences) - NAMED
    return sentences if more <= 0 else [*sentences[:NAMED], f"{more} more {others}"]
