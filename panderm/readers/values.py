"""Values as deliveries write them -> values as the manifest knows them. Every function takes and returns whole columns."""

from __future__ import annotations

import hashlib
import json
import math
import re

import pandas as pd

_NOTHING = frozenset(
    {"", "-", "--", "?", ".", "na", "n/a", "nan", "nil", "none", "null", "unknown", "unk", "not stated", "missing"}
)
_SEX = {"f": "female", "female": "female", "woman": "female", "m": "male", "male": "male", "man": "male"}
_SKIN_TYPES = ("I", "II", "III", "IV", "V", "VI")
_PAIRS = {"12": "I-II", "34": "III-IV", "56": "V-VI"} | {name: name for name in ("I-II", "III-IV", "V-VI")}
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_YES = ("1", "1.0", "true", "yes", "y", "x", "present", "positive")
_NO = ("0", "0.0", "false", "no", "n", "absent", "negative")
_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[T ][\d:.]+Z?)?$")
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
OLDEST = 120.0
"""Ages above it, in years, are typing mistakes (the oldest person on record reached 122)."""


def text(values: pd.Series) -> pd.Series:
    """Return texts without surrounding space; blanks and the words for unknown become null."""
    stripped = values.astype("string").str.strip()
    return stripped.mask(stripped.str.casefold().isin(list(_NOTHING)).fillna(True))


def identifier(values: pd.Series) -> pd.Series:
    """Return identifiers as text; a number that a spreadsheet turned into ``1754.0`` is ``1754`` again."""
    return text(values).str.replace(r"^(\d+)\.0$", r"\1", regex=True)


def age(values: pd.Series) -> pd.Series:
    """Return ages in years as float64; ``85+`` is 85, anything that is no age from 0 to :data:`OLDEST` is null."""
    years = number(text(values).str.removesuffix("+"))
    return years.where(years.between(0.0, OLDEST))


def sex(values: pd.Series) -> pd.Series:
    """Return ``female``, ``male`` or null."""
    return text(values).str.casefold().map(_SEX).astype("string")


def site(values: pd.Series) -> pd.Series:
    """Return the anatomical site in lower case, words parted by one space."""
    return text(values).str.casefold().str.replace(r"[\s_]+", " ", regex=True)


def skin_type(values: pd.Series) -> pd.Series:
    """Return the Fitzpatrick type I to VI from ``2``, ``2.0``, ``II``, ``Type II`` or ``FST 2``; else null.

    ``12``, ``34`` and ``56`` are the pairs ``I-II``, ``III-IV`` and ``V-VI``, for sources that tell no more (DDI).
    """
    known = {name: name for name in _SKIN_TYPES} | {str(n): name for n, name in enumerate(_SKIN_TYPES, start=1)} | _PAIRS
    bare = text(values).str.upper().str.replace(r"^(FITZPATRICK|FST|TYPE|SKIN TYPE|\s|:)+", "", regex=True)
    return bare.str.replace(r"\.0+$", "", regex=True).map(known).astype("string")


def number(values: pd.Series) -> pd.Series:
    """Return finite numbers as float64, ``3,5`` as 3.5; anything else is null."""
    plain = text(values).str.replace(r"^([^,.]*),([^,.]*)$", r"\1.\2", regex=True)
    numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
    return numbers.where(numbers.abs() < math.inf)


def visit(delivered: pd.Series, lesions: pd.Series) -> pd.Series:
    """Return time points; where all of a lesion's are dates (``2019-03-01``), 1, 2, ... in their order, one day one number.

    A date is not carried on: beside an age it would help to find the person. One that stands among other words, or of no
    lesion, becomes null.
    """
    named = identifier(delivered)
    day = pd.to_datetime(named.str.extract(_DATE, expand=False), format="%Y-%m-%d", errors="coerce")
    whole = (day.notna() | named.isna()).groupby(lesions).transform("all").fillna(False).astype(bool)
    order = day.groupby(lesions).rank(method="dense").where(whole).astype("Int64").astype("string")
    return named.mask(day.notna(), order)


def yes_no(values: pd.Series) -> pd.Series:
    """Return 1 or 0 as Int64 from ``yes``, ``True``, ``X``, ``absent`` and the like; else null."""
    known: dict[str, int] = dict.fromkeys(_YES, 1) | dict.fromkeys(_NO, 0)
    return values.astype("string").str.strip().str.casefold().map(known).astype("Int64")


def split(values: pd.Series) -> pd.Series:
    """Return ``train``, ``val`` or ``test``; other words stay as delivered, so that they can be refused by name."""
    delivered = text(values)
    return delivered.str.casefold().map(_SPLITS).astype("string").fillna(delivered)


def label(values: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    """Return labels in the task's own spelling where they match one of ``classes``, otherwise as delivered."""
    delivered = text(values)
    spelling = {name.casefold(): name for name in classes}
    return delivered.str.casefold().map(spelling).astype("string").fillna(delivered)


def prefixed(namespace: str, values: pd.Series) -> pd.Series:
    """Return ``<namespace>:<id>``, null where the id is."""
    return namespace + ":" + identifier(values)


def within(patients: pd.Series, lesions: pd.Series) -> pd.Series:
    """Return ``<patient>/<lesion>``, for layouts that number lesions per patient; null where the lesion is."""
    lesion = identifier(lesions)
    return (identifier(patients) + "/" + lesion).fillna(lesion)


def attributes(frame: pd.DataFrame) -> pd.Series:
    """Return each row's values by column name as JSON with sorted keys; null values are left out, null where none is left.

    Numbers stay numbers; give columns the names that later stages read them by.
    """
    texts = []
    for row in frame.to_dict("records"):
        known = {str(name): value for name, value in row.items() if not _unknown(value)}
        texts.append(json.dumps(known, sort_keys=True, ensure_ascii=False) if known else None)
    return pd.Series(texts, index=frame.index, dtype="string")


def _unknown(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def image_id(native: str, path: str) -> str:
    """Return an id that is safe as a tar member's key and the same whatever else is delivered.

    A native id of letters, digits, ``_`` and ``-`` stays as it is; any other is spelled with those and gets eight hex
    digits of its path's sha256, so that two of them never fall together.
    """
    if _SAFE_ID.fullmatch(native):
        return native
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', native)[:70]}-{digest}"
