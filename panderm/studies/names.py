"""Names of the studies and, of studies of encoders, of their arms: folders of runs, partitions in Dagster.

Light on purpose: Dagster's code location reads it at every start.
"""

from __future__ import annotations

from panderm.catalog.table import MODALITIES

STUDIES: dict[str, str] = {
    "label_efficiency": "the figure by share of the training labels",
    "degradation": "the task's model on blurred, noisy, compressed, dark, bright and covered images",
    "subgroups": "the figure by site, age, sex and skin type, and each group against the others",
    "external": "melanoma: fitted on one task, judged on all others that have melanomas",
    "protocols": "linear probe against fine-tuning",
}
"""Studies of one task each, by the name of their module, and what each shows."""

ENCODER_STUDIES: dict[str, str] = {
    "modalities": "an encoder without each modality against one of the whole corpus, on tasks of all modalities",
    "corpus_size": "an encoder a share of the corpus, and what each is worth to the tasks",
}
"""Studies that pretrain an encoder an arm; their modules have ``Config`` and ``plan(config, training, folders)``."""

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
