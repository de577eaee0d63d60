"""ISIC 2024 (SLICE-3D) as the archive ships it: ``train-metadata.csv`` (55 columns), ``train-image/image/ISIC_*.jpg``.

In place of the image folder ``train-image.hdf5`` may be delivered, a dataset an image. Where both are, the folder counts:
they hold the same images. The device's measurements (``tbp_lv_*``) become attributes by the names that the device has for them.
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
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems
from panderm.readers.vectra import MEASUREMENTS

TABLE = "train-metadata.csv"
HELD_OUT = r"\bFNQH\b|\bCairns\b|\bAlfred\b|\bMIA\b|Melanoma Institute Australia"
"""The benchmark's three institutions (FNQH Cairns, Alfred, MIA) as ``attribution`` may spell them."""

CONTAINER = "train-image.hdf5"
_DEVICE = "tbp_lv_"
_NUMBERS = ("clin_size_long_diam_mm", "mel_thick_mm")
_TEXTS = ("tbp_tile_type", "copyright_license", "iddx_full")
_TARGETS = {"0": "benign", "0.0": "benign", "1": "malignant", "1.0": "malignant"}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery for the source (held-out institutions refused) or for the benchmark (all others refused)."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.casefold().startswith("train-image/"))
    files = by_name(images)
    for container in sorter.images(lambda path: path.casefold() == CONTAINER):
        if images:
            sorter.keep([container])
        else:
            files = sorter.open(container)
    images = images or list(files.values())
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
                "attributes": values.attributes(_attributes(table)),
            }
        )
        if "attribution" in table:
            rows = rows.assign(**_scope(rows["institution"], benchmark=bool(dataset.classes)))
        sorter.place(TABLE, _consistent(rows, target, table), files)
    return sorter.finish()


def _attributes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the device's measurements, and few other columns that later stages or reports ask for."""
    spelling = {f"{_DEVICE}{name}".casefold(): name for name in MEASUREMENTS}
    device = {n: spelling.get(n, n.removeprefix(_DEVICE)) for n in map(str, table.columns) if n.startswith(_DEVICE)}
    numbers = {own: values.number(table[name]) for name, own in device.items() if not own.startswith("location")}
    numbers |= {name: values.number(table[name]) for name in _NUMBERS if name in table}
    texts = {own: values.text(table[name]) for name, own in device.items() if own.startswith("location")}
    texts |= {name: values.text(table[name]) for name in _TEXTS if name in table}
    known = {name: each.astype(object).where(each.notna(), None) for name, each in texts.items()}
    return pd.DataFrame(numbers | known, index=table.index)


def _consistent(rows: pd.DataFrame, target: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """Refuse rows whose target is not what the pathologist's word (``iddx_1``: Benign, Indeterminate, Malignant) says."""
    says = values.text(column(table, "iddx_1"))
    nature, label = says.str.casefold(), target.map(_TARGETS)
    clash = (nature.isin(["benign", "malignant"]) & label.notna() & (nature != label)).fillna(False)
    return refuse(
        rows, clash, Reason.CONTRADICTION, "target says " + target + ", iddx_1 says '" + says + "'; correct the table"
    )


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
