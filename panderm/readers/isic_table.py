"""Tables of an ISIC archive export, of any of its schemas and however many they are, as one table.

Ground truths and metadata of the challenges are tables of their own (``ISIC_2019_Training_GroundTruth.csv``,
``..._Metadata.csv``; parts for training and test): rows of one image are joined, parts are put below each other.
"""

from __future__ import annotations

import pandas as pd

from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.csvfile import LINE
from panderm.readers.listing import looks_like_image, suffix
from panderm.readers.sorting import Sorter, file_names, stems

NAME = "#table"
"""Column of the joined table: the file that the row stands in."""

IDS = ("isic_id", "image_name", "image_id", "image")
"""What the image's name is called in the newer exports, ISIC 2020, HAM10000, and the challenges 2018 and 2019."""

_TEXTS = ("attribution.txt", "license.txt", "citation.txt", "readme.txt")
_NO_PICTURES = ("_superpixels.png", "_segmentation.png")


def archive_images(sorter: Sorter) -> list[str]:
    """Return the pictures of an export; licences, attributions, masks and superpixels go to the metadata pile."""
    sorter.keep([path for path in sorter.files if is_text(path)])
    sorter.keep(sorter.images(lambda path: path.casefold().endswith(_NO_PICTURES)))
    return sorter.images(looks_like_image)


def is_text(path: str) -> bool:
    """Return whether a file is one of the texts that the archive adds to a download: licences and attributions."""
    *folders, name = path.casefold().split("/")
    return name in _TEXTS or (bool(folders) and folders[-1] == "licenses" and suffix(name) == ".txt")


def read_tables(sorter: Sorter, images: list[str]) -> pd.DataFrame | None:
    """Return all tables of a delivery as one, columns as delivered and :data:`NAME`, ``named`` and ``#line``; blanks are null.

    Returns None where no table names images; these are refused then.
    """
    read = {name: sorter.table(name, (), []) for name in sorter.files if suffix(name) == ".csv"}
    tables = {name: table for name, table in read.items() if table is not None}
    listing = {name: _named(table, name) for name, table in tables.items() if any(column in table for column in IDS)}
    if not listing:
        reason = Reason.MISSING_COLUMN if tables else Reason.NO_METADATA
        which = f"{next(iter(tables))} lacks the column {IDS[0]!r}" if tables else "no readable table was delivered with it"
        sorter.reject(images, reason, which)
        return None
    sorter.claim(images, " or ".join(listing))
    return _joined(pd.concat(listing.values(), ignore_index=True))


def _named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    key = next(column for column in IDS if column in table)
    known = {str(column): values.text(table[column]) for column in table if column != LINE}
    return pd.DataFrame(known | {LINE: table[LINE], NAME: name, "named": file_names(table[key])}, index=table.index)


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    """Fill the blanks of each image's rows in the first table that names it from the other tables."""
    key = stems(rows["named"])
    first = rows[NAME].groupby(key).transform("first").fillna(rows[NAME])
    own, more = rows[rows[NAME] == first], rows[rows[NAME] != first]
    if more.empty:
        return own
    filled = more.drop(columns=[NAME, LINE, "named"]).groupby(key[more.index]).first()
    return own.assign(**{name: own[name].fillna(key[own.index].map(filled[name])) for name in filled.columns})
