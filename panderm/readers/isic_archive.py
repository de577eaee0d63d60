"""Exports of the ISIC archive (isic-cli, collections, challenges) in its three schemas: one reader for every collection.

Images lie anywhere (``ISIC-images/``, ``images/``, ``ISIC_2019_Training_Input/``), tables are any ``*.csv`` with a column for
the image's name. A challenge's folder says the split (``..._Training_Input``, ``..._Validation_...``, ``..._Test_...``).
Diagnoses are read by :mod:`panderm.readers.isic_terms`; what the archive knows but the task does not ask for is out of scope,
what contradicts itself is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import isic_terms, values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.isic_table import CLASH, NAME, ORIGIN, archive_images, read_tables
from panderm.readers.sorting import NAMED, Sorter, by_name, locate, stems

PARTS = {"training": "train", "validation": "val", "test": "test"}
"""What a challenge calls its parts -> the split."""

_PART = re.compile(
    r"(?:^|/)ISIC[_-]?20\d\d_[\w-]*?(Training|Validation|Test)(?:_v2)?_(?:Input|Data|Images|JPEG)/", re.IGNORECASE
)
_AGES = ("age_approx", "age")
_SITES = ("anatom_site_general", "anatom_site_general_challenge", "localization", "anatom_site_1")
_TEXTS = ("copyright_license", "diagnosis_confirm_type", "dermoscopic_type", "image_type", "anatom_site_special")
_NUMBERS = ("clin_size_long_diam_mm", "mel_thick_mm", "acquisition_day")
_FLAGS = ("concomitant_biopsy", "melanocytic", "personal_hx_mm", "family_hx_mm", "mel_ulcer")
_MODALITIES = {
    **dict.fromkeys(("dermoscopic", "dermoscopy"), "dermoscopic"),
    **dict.fromkeys(("clinical", "overview", "macroscopic"), "clinical"),
    "tbp": "tbp",
}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    place_export(sorter)
    return sorter.finish()


def place_export(sorter: Sorter, check: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows) -> None:
    """Place the images of an export.

    Args:
        sorter: of the delivery.
        check: gets the rows with ``split`` and returns them, some refused (:func:`panderm.readers.checks.refuse`).
    """
    images = archive_images(sorter)
    table = read_tables(sorter, images)
    if table is not None:
        rows, files = archive_rows(sorter.dataset, table), by_name(images)
        rows = check(rows.assign(split=_parts(rows[NAMED], files)))
        sorter.place(table[NAME], judged(sorter.dataset, table, rows) if sorter.dataset.classes else rows, files)


def _parts(named: pd.Series, files: dict[str, str]) -> pd.Series:
    """Return the split that the folder of each named image says; null outside of a challenge's folders."""
    found = locate(named, files).str.extract(_PART, expand=False)
    return found.str.casefold().map(PARTS).astype("string")


def archive_rows(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Return everything but labels for the rows of :func:`read_tables`: rows for :meth:`Sorter.place`.

    Images that rows disagree about are marked as refused, those of a kind that the dataset does not hold as out of scope.
    """
    shown = _first(table, ("image_type",)).str.casefold().str.extract(r"^([a-z]+)", expand=False)
    modality = shown.map(_MODALITIES).fillna(shown).fillna(dataset.modalities[0])
    rows = pd.DataFrame(
        {
            NAMED: table[NAMED],
            LINE: table[LINE],
            "image_id": stems(table[NAMED]),
            "modality": modality,
            "patient_id": values.prefixed(dataset.patient_namespace, _first(table, ("patient_id",))),
            "lesion_id": values.prefixed(dataset.patient_namespace, _first(table, ("lesion_id",))),
            "label": _first(table, ("diagnosis", "dx", "diagnosis_3")),
            "age": values.age(_first(table, _AGES)),
            "sex": values.sex(_first(table, ("sex",))),
            "site": values.site(_first(table, _SITES)),
            "skin_type": values.skin_type(_first(table, ("fitzpatrick_skin_type",))),
            "institution": _first(table, ("attribution",)),
            "attributes": values.attributes(_attributes(table)),
        }
    )
    other = ~modality.isin(list(dataset.modalities))
    shows = "it is a " + modality.astype("string") + " image, which the task does not take"
    rows = refuse(rows, table[CLASH].notna(), Reason.CONTRADICTION, table[CLASH])
    return refuse(rows, other, Reason.OUT_OF_SCOPE, shows)


def judged(dataset: Dataset, table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the task's labels; what contradicts itself or is not asked for is marked as refused."""
    found = [_find(row) for row in _evidence(table)]
    labels = _texts(table, [isic_terms.label_of(each.diagnosis, each.nature, dataset.classes) for each in found])
    words = rows["label"].fillna(_texts(table, [each.nature for each in found]))
    clash = _texts(table, [each.clash for each in found])
    rows = refuse(rows.assign(label=labels.fillna(words)), clash.notna(), Reason.CONTRADICTION, clash)
    known = pd.Series([each.diagnosis.known or each.nature is not None for each in found], index=table.index)
    seen = ("the diagnosis is '" + words + "', none of the task's classes").fillna("it has no diagnosis")
    return refuse(rows, labels.isna() & (known | words.isna()), Reason.OUT_OF_SCOPE, seen)


class _Finding(NamedTuple):
    """What a row says: its diagnosis, benign or malignant, and which two columns disagree (one sentence)."""

    diagnosis: isic_terms.Diagnosis
    nature: isic_terms.Nature | None
    clash: str | None


def _texts(table: pd.DataFrame, each: Sequence[str | None]) -> pd.Series:
    return pd.Series(each, index=table.index, dtype="string")


def _evidence(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return what each row says of the diagnosis, by column, and where; columns that say nothing are left out."""
    wanted = dict.fromkeys(("diagnosis", "dx", *isic_terms.LEVELS, *isic_terms.BENIGN_OR_MALIGNANT, *isic_terms.ONE_HOT))
    columns = [name for each in wanted for name in (each, f"{ORIGIN}{each}") if name in table]
    records = table[columns].astype(object).where(table[columns].notna(), None).to_dict("records")
    return [{str(name): str(value) for name, value in record.items() if value is not None} for record in records]


def _find(row: dict[str, str]) -> _Finding:
    """Return what one row says."""
    said: list[tuple[str, str, isic_terms.Diagnosis]] = []
    for name in isic_terms.ONE_HOT:
        if row.get(name) in ("1", "1.0") and name != "unk":
            said.append((_named(row, name, name.upper()), row[name], isic_terms.of_word(name)))
    words = [name for name in ("diagnosis", "dx") if name in row]
    said += [(_named(row, name), row[name], isic_terms.of_word(row[name])) for name in words]
    if any(name in row for name in isic_terms.LEVELS):
        levels = tuple(row.get(name, "") for name in isic_terms.LEVELS)
        finest = next(name for name in reversed(isic_terms.LEVELS) if name in row)
        said.append((_named(row, finest), row[finest], isic_terms.of_levels(levels)))
    kinds = {name: isic_terms.nature_of(row[name]) for name in isic_terms.BENIGN_OR_MALIGNANT if name in row}
    natures = [(_named(row, name), row[name], nature) for name, nature in kinds.items() if nature]
    best = max((each for _, _, each in said), key=_detail, default=isic_terms.Diagnosis((), False))
    return _Finding(best, natures[0][2] if natures else None, _clash(said, natures))


def _named(row: dict[str, str], name: str, shown: str = "") -> str:
    """Return a column's name for a sentence, with its place where that is another table."""
    return (shown or name) + (f" in {row[f'{ORIGIN}{name}']}" if f"{ORIGIN}{name}" in row else "")


def _detail(diagnosis: isic_terms.Diagnosis) -> tuple[bool, int, bool]:
    return bool(diagnosis.classes), len(diagnosis.classes), diagnosis.known


def _clash(said: list[tuple[str, str, isic_terms.Diagnosis]], natures: list[tuple[str, str, isic_terms.Nature]]) -> str | None:
    """Return one sentence that names two columns which disagree, None where all agree."""
    words = [each for each in said if each[2].classes]
    for place, (name, value, diagnosis) in enumerate(words):
        for other, answer, second in words[place + 1 :]:
            if not set(diagnosis.classes) & set(second.classes):
                return f"{name} says {value!r}, {other} says {answer!r}; correct the table"
    both = [(name, value, each.nature) for name, value, each in words if each.nature] + natures
    for name, value, nature in both[:1]:
        for other, answer, second_nature in both[1:]:
            if nature != second_nature:
                return f"{name} says {value!r}, {other} says {answer!r}; correct the table"
    return None


def _first(table: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """Return the first known value of some columns, null where none is."""
    result = pd.Series(pd.NA, index=table.index, dtype="string")
    for name in names:
        if name in table:
            result = result.fillna(table[name].astype("string"))
    return result


def _attributes(table: pd.DataFrame) -> pd.DataFrame:
    parts = {name: table[name].astype(object).where(table[name].notna(), None) for name in _TEXTS if name in table}
    parts |= {name: values.number(table[name]) for name in _NUMBERS if name in table}
    parts |= {name: values.yes_no(table[name]).astype(object) for name in _FLAGS if name in table}
    return pd.DataFrame(parts, index=table.index)
