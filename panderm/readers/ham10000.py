"""HAM10000 as Harvard Dataverse ships it (Tschandl et al., 2018), as the ISIC archive exports it, or as the challenge of 2018.

Dataverse: ``HAM10000_metadata.csv`` (``.tab`` or no ending there), ``HAM10000_images_part_*/ISIC_*.jpg``, and masks in
``HAM10000_segmentations_*/``, in any folder. There are no patients: ``lesion_id`` is what must stay together, so the layout
cannot do without it. Where that table is absent the delivery is read as :mod:`panderm.readers.isic_archive` reads any other.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.isic_archive import place_export
from panderm.readers.isic_table import TABLES
from panderm.readers.listing import is_litter, looks_like_image, suffix
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

NAMES = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
REQUIRED = ("image_id", "lesion_id", "dx")
_FURTHER = re.compile(r"(^|/)ISIC2018_Task3_(Validation|Test)_", re.IGNORECASE)
_NOT_OURS = "it is of the challenge's validation or test part; HAM10000 are the 10,015 images of its training part"


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; masks count as metadata files, the other parts of the challenge are out of scope."""
    sorter = Sorter(dataset, landing)
    if is_export(sorter):
        place_export(sorter, lambda rows: refuse(rows, rows["split"].isin(["val", "test"]), Reason.OUT_OF_SCOPE, _NOT_OURS))
        return sorter.finish()
    sorter.keep(sorter.images(is_mask))
    further = sorter.images(lambda path: bool(_FURTHER.search(path)))  # Dataverse ships the challenge's test set along
    sorter.reject(filter(looks_like_image, further), Reason.OUT_OF_SCOPE, _NOT_OURS)
    sorter.keep([path for path in further if suffix(path) in TABLES])
    images, name = sorter.images(is_picture), sorter.find(*NAMES)
    table = sorter.table(name, REQUIRED, images)
    if table is not None:
        sorter.place(name, table_rows(dataset, table), by_name(images))
    return sorter.finish()


def is_export(sorter: Sorter) -> bool:
    """Return whether tables were delivered, but not Dataverse's."""
    tables = [path for path in sorter.files if suffix(path) in TABLES and not is_litter(path)]
    return bool(tables) and sorter.find(*NAMES) not in sorter.files


def is_mask(path: str) -> bool:
    """Return whether a file lies where the masks do."""
    return _lies_in(path, "ham10000_segmentations")


def is_picture(path: str) -> bool:
    """Return whether a file lies where the images do."""
    return _lies_in(path, "ham10000_images")


def _lies_in(path: str, folder: str) -> bool:
    return any(part.startswith(folder) for part in path.casefold().split("/")[:-1]) and not is_litter(path)


def table_rows(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row an image, for :meth:`panderm.readers.sorting.Sorter.place`."""
    named = file_names(table["image_id"])
    return pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": dataset.modalities[0],
            "lesion_id": values.prefixed(dataset.patient_namespace, table["lesion_id"]),
            "label": values.label(table["dx"], dataset.classes),
            "age": values.age(column(table, "age")),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "localization")),
            "institution": values.text(column(table, "dataset")),
        }
    )
