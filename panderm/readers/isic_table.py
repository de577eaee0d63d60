"""Tables of an ISIC archive export, of any of its schemas and however many they are, as one table.

Ground truths and metadata of the challenges are tables of their own (``ISIC_2019_Training_GroundTruth.csv``,
``..._Metadata.csv``; parts for training and test): rows of one image are joined, parts are put below each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.csvfile import LINE
from panderm.readers.isic_terms import BENIGN_OR_MALIGNANT, LEVELS, ONE_HOT, nature_of, of_word
from panderm.readers.listing import is_litter, looks_like_image, suffix
from panderm.readers.repeats import Disagree, disputes
from panderm.readers.sorting import Sorter, file_names, stems

NAME = "#table"
"""Column of the joined table: the file that the row stands in."""

CLASH = "#clash"
"""Column of the joined table: how rows of one image disagree, one sentence; null where they do not."""

ORIGIN = "from:"
"""Prefix of columns of the joined table: where a diagnosis stands that was filled in from another table."""

IDS = ("isic_id", "image_name", "image_id", "image")
"""What the image's name is called in the newer exports, ISIC 2020, HAM10000, and the challenges 2018 and 2019."""

TABLES = (".csv", ".tab")
"""Endings of tables; Harvard Dataverse's are of the second kind."""

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


def read_tables(sorter: Sorter, images: list[str], further: Mapping[str, Disagree] | None = None) -> pd.DataFrame | None:
    """Return all tables of a delivery as one, columns as delivered and those named above; blanks are null.

    Returns None where no table names images; these are refused then.

    Args:
        sorter: of the delivery.
        images: its pictures.
        further: columns that rows of one image have to agree in besides what says whose it is and what it shows.
    """
    names = [name for name in sorter.files if suffix(name) in TABLES and not is_litter(name)]
    read = {name: sorter.table(name, (), []) for name in names}
    tables = {name: table for name, table in read.items() if table is not None}
    listing = {name: _named(table, name) for name, table in tables.items() if any(column in table for column in IDS)}
    if not listing:
        reason = Reason.MISSING_COLUMN if tables else Reason.NO_METADATA
        which = f"{next(iter(tables))} lacks the column {IDS[0]!r}" if tables else "no readable table was delivered with it"
        sorter.reject(images, reason, which)
        return None
    sorter.claim(images, " or ".join(listing))
    rows = pd.concat(listing.values(), ignore_index=True)
    columns = _OWNERS | (_EVIDENCE | dict(further or {}) if sorter.dataset.classes else {})
    said = disputes(rows, stems(rows["named"]), rows[NAME] + "#" + rows[LINE].astype("string"), columns)
    joined = _joined(rows)
    return joined.assign(**{CLASH: stems(joined["named"]).map(said).astype("string")})


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
    here = more[NAME] + "#" + more[LINE].astype("string")
    origins = {f"{ORIGIN}{name}": here.where(more[name].notna()) for name in _EVIDENCE if name in more}
    told = more.drop(columns=[NAME, LINE, "named"]).assign(**origins)
    first_known = told.groupby(key[more.index]).first()
    found = {name: key[own.index].map(first_known[name]).astype("string") for name in map(str, told.columns)}
    places = {name: found[name].mask(own[name.removeprefix(ORIGIN)].notna()) for name in origins}
    return own.assign(**{name: own[name].fillna(each) for name, each in found.items() if name in own}, **places)


def _words_disagree(one: str, other: str) -> bool:
    """Return whether two words for a diagnosis are of different classes; words that the archive lacks say nothing."""
    first, second = of_word(one), of_word(other)
    if not (first.known and second.known):
        return False
    return bool(first.classes or second.classes) and not set(first.classes) & set(second.classes)


def _natures_disagree(one: str, other: str) -> bool:
    return len({nature_of(one), nature_of(other), None}) > 2


def _flags_disagree(one: str, other: str) -> bool:
    return bool(values.yes_no(pd.Series([one, other])).nunique() > 1)


def _ids_disagree(one: str, other: str) -> bool:
    """Return whether two ids of one numbering differ: challenges number lesions ``HAM_``, ``BCN_``, the archive ``IL_``."""
    first, second = (re.match(r"[A-Za-z]*", name) for name in (one, other))
    return one != other and first is not None and second is not None and first[0] == second[0]


_OWNERS: dict[str, Disagree] = dict.fromkeys(("patient_id", "lesion_id"), _ids_disagree)
_EVIDENCE: dict[str, Disagree] = {
    **dict.fromkeys(("diagnosis", "dx", *LEVELS), _words_disagree),
    **dict.fromkeys(BENIGN_OR_MALIGNANT, _natures_disagree),
    **dict.fromkeys(ONE_HOT, _flags_disagree),
}
"""Columns that say of whom an image is and what it shows -> what counts as two answers."""
