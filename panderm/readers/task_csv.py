"""Tasks delivered as one table and images: our CSV for the in-house sets, and the public PanDerm code's.

``metadata.csv`` has ``image`` and ``label``, and may have patient_id, lesion_id, visit, age, sex, site, skin_type, split and
institution; every further column becomes an attribute. ``panderm.csv`` is the public code's table of any diagnosis task
(``image``, ``label`` or, for two classes, ``binary_label``, numbers from 0, and ``split``), delivered in place of the native
layout. Images lie anywhere beside either, and a row may name its image by a path that begins anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import class_list, values
from panderm.readers.base import OFFICIAL, Delivery, is_official
from panderm.readers.checks import known_split
from panderm.readers.csvfile import LINE, read_csv
from panderm.readers.listing import looks_like_image
from panderm.readers.sorting import DECISIVE, NAMED, Sorter, column, file_names, stems

TABLE = "metadata.csv"
_READ = ("image", "label", "patient_id", "lesion_id", "visit", "age", "sex", "site", "skin_type", "split", "institution")

Table = Callable[[pd.DataFrame], pd.DataFrame]
Check = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery, by the public code's table where that was delivered."""
    if is_official(dataset, landing):
        return read_with(dataset, landing, ("split",), _official, name=OFFICIAL)
    return read_with(dataset, landing)


def read_with(
    dataset: Dataset,
    landing: Path,
    required: tuple[str, ...] = (),
    prepare: Table = lambda table: table,
    check: Check = lambda _, rows: rows,
    name: str = TABLE,
) -> Delivery:
    """Read a delivery of which more is known than that it is a table with images.

    Args:
        dataset: the task.
        landing: its folder.
        required: columns needed besides image and label.
        prepare: gets the table as delivered and returns it in the words of this module.
        check: gets table and rows, those whose image was delivered and is named for the first time, and returns the rows,
            some refused (:func:`panderm.readers.checks.refuse`).
        name: of the table.
    """
    sorter = Sorter(dataset, landing)
    images = sorter.images(looks_like_image)
    table = sorter.table(name, ("image", "label", *required), images, lambda path: prepare(_labelled(dataset, read_csv(path))))
    if table is None:
        return sorter.finish()
    words = class_list.read_words(sorter, landing, table["label"])
    rows = words.mark(_rows(dataset, table, words))
    rows = sorter.match(name, rows, Rooted(images).files(rows[NAMED]))
    sorter.accept(known_split(check(table.loc[rows.index], rows)))
    return sorter.finish()


def _rows(dataset: Dataset, table: pd.DataFrame, words: class_list.Words) -> pd.DataFrame:
    named = file_names(table["image"])
    label = words.label(table["label"])
    lesion = values.within(column(table, "patient_id"), column(table, "lesion_id"))
    lesion = values.prefixed(dataset.patient_namespace, lesion)
    own = values.identifier(table["label"]).where(label.str.casefold() != values.identifier(table["label"]).str.casefold())
    return pd.DataFrame(
        {
            NAMED: named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": dataset.modalities[0],
            "patient_id": values.prefixed(dataset.patient_namespace, column(table, "patient_id")),
            "lesion_id": lesion,
            "visit": values.visit(column(table, "visit"), lesion),
            "label": label,
            "split": values.split(column(table, "split")),
            "age": values.age(column(table, "age")),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "site")),
            "skin_type": values.skin_type(column(table, "skin_type")),
            "institution": values.text(column(table, "institution")),
            "attributes": values.attributes(_further(table).assign(delivered_label=own)),
            **{name: table[name] for name in DECISIVE if name in table and name not in _READ},
        }
    )


def _further(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that mean nothing here: numbers where a column holds nothing else, otherwise texts."""
    own = table.drop(columns=[name for name in (*_READ, LINE) if name in table])
    own = own.loc[:, [not name.startswith("unnamed:") for name in own.columns]]  # a data frame's index, written along
    return own.apply(_plain) if len(own.columns) else own


def _plain(delivered: pd.Series) -> pd.Series:
    if not isinstance(delivered.dtype, pd.StringDtype) and delivered.dtype != object:
        return delivered.astype(object).where(delivered.notna(), None)  # a reader's own numbers
    texts, numbers = values.text(delivered), values.number(delivered)
    plain = numbers if texts.notna().equals(numbers.notna()) else texts
    return plain.astype(object).where(plain.notna(), None)


def _labelled(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the task's own label column as ``label``: ``label_09`` for mmt_09, where there are several."""
    for name in (f"label_{part}" for part in class_list.own_names(dataset)):
        if name in table:
            return table.drop(columns="label", errors="ignore").rename(columns={name: "label"})
    return table


def _official(table: pd.DataFrame) -> pd.DataFrame:
    """Return the public code's table in the words of this module; with both label columns the binary one counts."""
    if "binary_label" not in table:
        return table
    return table.drop(columns="label", errors="ignore").rename(columns={"binary_label": "label"})


class Rooted:
    """Images that rows may call by the whole path below any folder, inside or outside of the delivery."""

    def __init__(self, images: list[str]) -> None:
        self._ends: dict[str, str | None] = {}
        for path in images:
            parts = path.split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                self._ends[end] = None if end in self._ends else path  # two files of one name are told by their folders

    def files(self, named: pd.Series) -> dict[str, str]:
        """Return name as delivered -> path, for :meth:`panderm.readers.sorting.Sorter.place`."""
        found = {end: path for end, path in self._ends.items() if path is not None}
        for name in named.dropna().unique():
            parts = name.split("/")
            ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
            if name not in found and (path := next((found[end] for end in ends if end in found), None)) is not None:
                found[name] = path
        return found
