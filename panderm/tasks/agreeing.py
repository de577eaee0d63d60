"""Images that are judged as one have one label: a slide's tiles, a lesion's images over time."""

from __future__ import annotations

import pandas as pd

from panderm.core.errors import InputError
from panderm.curation.telling import told

SEVERAL = "several_labels"
"""What images are counted under whose slide or lesion has two labels: nobody can say which of them is right."""


def one_label(task: str, rows: pd.DataFrame, what: str) -> tuple[pd.Series, tuple[str, ...]]:
    """Return which rows belong to a slide or lesion of one label, and a sentence about each of the first others.

    Args:
        task: the benchmark's key.
        rows: columns ``lesion_id`` (not null) and ``label``.
        what: what a ``lesion_id`` is, in a word.

    Raises:
        InputError: no row does.
    """
    agrees = rows.groupby("lesion_id")["label"].transform("nunique") == 1
    labels = rows[~agrees].groupby("lesion_id")["label"].agg(lambda label: ", ".join(sorted(set(label))))
    sentences = [
        f"{what} {name} is left out: its images have the labels {said}, but the label is the {what}'s"
        for name, said in labels.items()
    ]
    if not agrees.any():
        raise InputError(f"{task}: no {what} is left ({sentences[0]}); mend the labels")
    return agrees, tuple(told(sentences, f"{what}s are left out for the same reason"))
