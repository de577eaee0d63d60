"""Collections of the ISIC archive that follow lesions over months (SDDI1 is collection 328): images of a lesion in order.

The visit is the rank of ``acquisition_day`` (days since a patient's first, no date) among the lesion's images; where that is
missing, of the image's name. The label says of a lesion whether it changed. A column ``change`` counts (``changed`` or
``unchanged``, 1 or 0); without it we take what the archive says of the confirmation: ``serial imaging showing no change`` is
unchanged, an excised lesion (``histopathology``) is changed, because short-term monitoring excises what changes.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.isic_archive import archive_rows
from panderm.readers.isic_table import NAME, archive_images, read_tables
from panderm.readers.sorting import Sorter, by_name, column

CHANGE = ("change", "changed", "change_label", "label")
"""What a column that states the change may be called; which one the collection has is not published outside of it."""

_SAID = {
    **dict.fromkeys(("changed", "change", "1", "1.0", "true", "yes"), "changed"),
    **dict.fromkeys(("unchanged", "no change", "stable", "0", "0.0", "false", "no"), "unchanged"),
}
_NO_CHANGE = "serial imaging showing no change"
_CONFIRMED = {_NO_CHANGE: "unchanged", "histopathology": "changed"}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    images = archive_images(sorter)
    table = read_tables(sorter, images, dict.fromkeys(CHANGE, _changes_disagree))
    if table is not None:
        sorter.place(table[NAME], _sequences(dataset, table), by_name(images))
    return sorter.finish()


def _changes_disagree(one: str, other: str) -> bool:
    return len({_SAID.get(one.casefold(), one), _SAID.get(other.casefold(), other)}) > 1


def _sequences(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    rows = archive_rows(dataset, table)
    lesion = rows["lesion_id"]
    rows = refuse(rows, lesion.isna(), Reason.NO_METADATA, "it has no lesion_id, so it belongs to no sequence")
    single = lesion.notna() & (rows["image_id"].groupby(lesion).transform("nunique") < 2)
    rows = refuse(rows, single, Reason.OUT_OF_SCOPE, "it is the only image of its lesion; a change needs two")
    stated = next((table[name] for name in CHANGE if name in table), column(table, CHANGE[0]))
    said = stated.str.casefold().map(_SAID).astype("string").fillna(values.text(stated))
    confirmed = _confirmed(table, lesion)
    clash = (said == "changed") & (confirmed == "unchanged")
    detail = f"the column on change says 'changed', diagnosis_confirm_type says {_NO_CHANGE!r}; correct the table"
    rows = refuse(rows, clash, Reason.CONTRADICTION, detail)
    return rows.assign(label=said.fillna(confirmed), visit=_visits(table, rows["image_id"], lesion))


def _confirmed(table: pd.DataFrame, lesion: pd.Series) -> pd.Series:
    """Return what the confirmation says of each row's lesion: changed if one of its images was excised."""
    each = column(table, "diagnosis_confirm_type").str.casefold().map(_CONFIRMED).astype("string")
    return each.groupby(lesion).transform(lambda said: said.min()).astype("string").fillna(each)  # "changed" < "unchanged"


def _visits(table: pd.DataFrame, image_id: pd.Series, lesion: pd.Series) -> pd.Series:
    """Return 1, 2, ... within each lesion, by day where all of its days are known, otherwise by name."""
    day = values.number(column(table, "acquisition_day"))
    whole = day.notna().groupby(lesion).transform("all")
    by_day, by_image = (order.groupby(lesion).rank(method="dense") for order in (day, image_id.astype(object)))
    return by_day.where(whole.fillna(False).astype(bool), by_image).astype("Int64").astype("string")
