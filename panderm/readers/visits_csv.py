"""Surveillance over years: ``visits.csv`` (person, lesion, visit, file, date, site) and ``images/<person>/<file>``.

Lesion ids are stable across visits. The date of a visit is not carried on: the visit's number says the order, and a
date beside an age would help to find the person.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.sorting import Sorter, below, column, file_names

TABLE = "visits.csv"
REQUIRED = ("person", "lesion", "visit", "file")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(lambda path: path.startswith("images/"))
    table = sorter.table(TABLE, REQUIRED, images)
    if table is not None:
        person = values.identifier(table["person"])
        file = file_names(table["file"], "images")
        named = file.where(file.str.contains("/"), person + "/" + file)
        lesion = values.prefixed(dataset.patient_namespace, values.within(person, table["lesion"]))
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": named.str.replace(r"\.[^./]+$", "", regex=True).str.replace("/", "_"),
                "modality": dataset.modalities[0],
                "patient_id": values.prefixed(dataset.patient_namespace, person),
                "lesion_id": lesion,
                "visit": values.visit(table["visit"], lesion),
                "label": values.label(column(table, "diagnosis"), dataset.classes),
                "age": values.age(column(table, "age")),
                "sex": values.sex(column(table, "sex")),
                "site": values.site(column(table, "site")),
            }
        )
        sorter.place(TABLE, rows, below("images", images))
    return sorter.finish()
