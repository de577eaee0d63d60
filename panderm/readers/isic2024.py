"""ISIC 2024 (SLICE-3D) as the archive ships it: ``train-metadata.csv`` (55 columns), ``train-image/image/ISIC_*.jpg``.

The same delivery serves the pretraining source and the benchmark. Three institutions are the benchmark's; the column
``attribution`` says whose an image is. Where a subset was delivered without that column, every row is used by both, and
curation keeps the benchmark's images out of the corpus.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "train-metadata.csv"
HELD_OUT = r"\bFNQH\b|\bCairns\b|\bAlfred\b|\bMIA\b|Melanoma Institute Australia"
"""The benchmark's three institutions (FNQH Cairns, Alfred, MIA) as ``attribution`` may spell them."""

_TARGETS = {"0": "benign", "0.0": "benign", "1": "malignant", "1.0": "malignant"}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery for the source (held-out institutions refused) or for the benchmark (all others refused)."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.casefold().startswith("train-image/"))
    required = ("isic_id", "target") if dataset.classes else ("isic_id",)
    table = sorter.table(TABLE, required, images)
    if table is not None:
        named = file_names(table["isic_id"])
        target = values.text(column(table, "target"))
        lesion = values.text(column(table, "lesion_id"))  # null for lesions that nobody suspected
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "patient_id": values.prefixed(dataset.patient_namespace, column(table, "patient_id")),
                "lesion_id": values.prefixed(dataset.patient_namespace, lesion),
                "label": values.label(target.map(_TARGETS).fillna(target), dataset.classes),
                "age": values.age(column(table, "age_approx")),
                "sex": values.sex(column(table, "sex")),
                "site": values.site(column(table, "anatom_site_general")),
                "institution": values.text(column(table, "attribution")),
            }
        )
        if "attribution" in table:
            rows = rows.assign(**_scope(rows["institution"], benchmark=bool(dataset.classes)))
        sorter.place(TABLE, rows, by_name(images))
    return sorter.finish()


def _scope(institution: pd.Series, *, benchmark: bool) -> dict[str, pd.Series]:
    """Return the columns ``reason`` and ``detail``: which rows belong to the other half of the delivery."""
    held_out = institution.str.contains(HELD_OUT, case=False, regex=True).fillna(False)
    name = institution.fillna("an institution not named")
    refused = ~held_out if benchmark else held_out
    reason = Reason.OUT_OF_SCOPE if benchmark else Reason.HELD_OUT
    words = " is not one of the benchmark's three institutions" if benchmark else " is held out for the benchmark"
    return {
        "reason": pd.Series(reason.value, index=institution.index, dtype="string").where(refused),
        "detail": (name + words).where(refused),
    }
