"""Exports of the Canfield VECTRA WB360: ``subjects.csv``, ``<subject>/<visit>/lesions.csv`` and ``.../tiles/<lesion>.png``.

``lesions.csv`` has ``lesion_id``, the device's 32 measurements (:data:`MEASUREMENTS`) and ``out_of_bounds_fraction``;
only the id is needed here, the measurements belong to the total-body tasks (:mod:`panderm.readers.vectra_task`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, column, file_names, stems

SUBJECTS = "subjects.csv"
LESIONS = "lesions.csv"
_USED = ("location_simple",)
MEASUREMENTS = (
    *("A", "Aext", "B", "Bext", "C", "Cext", "H", "Hext", "L", "Lext", "areaMM2", "area_perim_ratio", "color_std_mean"),
    *("deltaA", "deltaB", "deltaL", "deltaLB", "deltaLBnorm", "dnn_lesion_confidence", "eccentricity", "location_simple"),
    *("majorAxisMM", "minorAxisMM", "nevi_confidence", "norm_border", "norm_color", "perimeterMM", "radial_color_std_max"),
    *("stdL", "stdLExt", "symm_2axis", "symm_2axis_angle"),
)
"""Names of the 32 measurements, as the device spells them."""


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    known = people(sorter)
    place_visits(sorter, ("lesion_id",), _USED, lambda table: rows_of(dataset, table, known))
    return sorter.finish()


def place_visits(
    sorter: Sorter, required: tuple[str, ...], used: tuple[str, ...], rows: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    """Read the table of every visit and place its tiles.

    Args:
        sorter: of the delivery.
        required: columns that every visit's table needs.
        used: further columns, blank in a table that lacks them.
        rows: gets the tables below each other with a column ``folder``, ``<subject>/<visit>``.
    """
    visits: dict[str, list[str]] = {}
    for path in sorter.files:
        parts = path.split("/")
        if len(parts) >= 3 and (parts[2] == "tiles" or parts[2].casefold() == LESIONS):
            visits.setdefault("/".join(parts[:2]), []).append(path)
    tables, tiles = [], []
    for visit, files in visits.items():
        of_visit = [path for path in files if path.split("/")[2] == "tiles"]
        table = sorter.table(f"{visit}/{LESIONS}", required, of_visit)
        if table is not None:
            names = list(dict.fromkeys((*required, *used, LINE)))
            tables.append(table.reindex(columns=names, fill_value="").assign(folder=visit))
            tiles += of_visit
    if tables:
        table = pd.concat(tables, ignore_index=True)
        sorter.place(table["folder"] + f"/{LESIONS}", rows(table), {path: path for path in tiles})


def people(sorter: Sorter) -> pd.DataFrame:
    """Return age, sex and split by subject; an export without the table has none of them."""
    table = sorter.table(SUBJECTS, ("subject",), [])
    if table is None:
        empty = {"age": pd.Series(dtype="float64"), "sex": pd.Series(dtype="string"), "split": pd.Series(dtype="string")}
        return pd.DataFrame(empty)
    split = values.split(column(table, "split"))
    known = pd.DataFrame({"age": values.age(column(table, "age")), "sex": values.sex(column(table, "sex")), "split": split})
    known.index = pd.Index(values.identifier(table["subject"]))
    return known[~known.index.duplicated() & known.index.notna()]


def rows_of(dataset: Dataset, table: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return one row an image for the rows of every visit's table; ``known`` is what :func:`people` returns."""
    named = file_names(table["lesion_id"], "tiles")
    lesion = stems(named)
    subject, visit = table["folder"].str.split("/").str[0], table["folder"].str.split("/").str[1]
    return pd.DataFrame(
        {
            "named": table["folder"] + "/tiles/" + named,
            LINE: table[LINE],
            "image_id": subject + "_" + visit + "_" + lesion,
            "modality": dataset.modalities[0],
            "patient_id": values.prefixed(dataset.patient_namespace, subject),
            "lesion_id": values.prefixed(dataset.patient_namespace, values.within(subject, lesion)),
            "visit": visit,
            "age": subject.map(known["age"]),
            "sex": subject.map(known["sex"]),
            "site": values.site(table["location_simple"]),
        }
    )
