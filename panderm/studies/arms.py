"""Names of the arms of studies of encoders: folders of their runs, partitions in Dagster (which reads this at every start)."""

from __future__ import annotations

from panderm.catalog.table import MODALITIES

WHOLE = "whole"
"""The arm of the whole corpus among those without a modality."""

FRACTIONS = (0.1, 0.25, 0.5, 1.0)
"""Shares of the corpus (ours: a factor of about two each; the paper's 0.8 of 1.8 million is 0.44)."""


def without(modality: str) -> str:
    """Return the arm that leaves a modality out."""
    return f"without-{modality}"


def share(fraction: float) -> str:
    """Return the arm of a share of the corpus."""
    return f"{100 * fraction:g}-percent"


ARMS: dict[str, tuple[str, ...]] = {
    "modalities": (WHOLE, *(without(name) for name in MODALITIES)),
    "corpus_size": tuple(share(fraction) for fraction in FRACTIONS),
}
"""Arms of each study under its default settings."""
