"""Whole slides: ``*.svs`` in any folder and ``slides.csv``; an image is a tile of a slide, a lesion the slide.

Columns: slide_id (the file's name), case_id (the patient), label, and where known objective_power (for slides that do not
say it themselves), age, sex, site. A file of CPTAC (``C3L-00001-21.svs``) or TCGA (``TCGA-XX-XXXX-01Z-00-DX1.svs``) begins
with its case, so the column may be left out; where both are there they have to agree. CPTAC's own word for the label,
``specimen_type`` (tumor_tissue, normal_tissue), is read too. Sources need no table if their files tell the cases.

To know the tiles a reader has to look for tissue, so this one opens the slides; see :mod:`panderm.imaging.slides`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.progress import progress
from panderm.core.reasons import Reason
from panderm.imaging.slides import parse_name, tile_names
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.listing import suffix
from panderm.readers.sorting import Sorter, by_name, column, file_names

TABLE = "slides.csv"
SUFFIX = ".svs"
_CASE = r"^(TCGA-\w{2}-\w{4}|C3[LN]-\d{5})(?=\W|$)"
_WORDS = {
    **dict.fromkeys(("tumor", "tumour", "tumor_tissue", "tumour_tissue", "tumor tissue"), "tumour"),
    **dict.fromkeys(("normal_tissue", "normal tissue"), "normal"),
}
_TOLD = ("patient_id", "label", "age", "sex", "site")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery."""
    sorter = Sorter(dataset, landing)
    place_slides(sorter)
    return sorter.finish()


def place_slides(sorter: Sorter) -> None:
    """Tile the slides on a sorting table; a slide that cannot be used is refused as a whole, with one sentence."""
    slides = sorter.images(lambda path: suffix(path) == SUFFIX)
    table = _table(sorter, slides)
    if table is None:
        return
    rows = sorter.match(TABLE, _rows(sorter.dataset, table), by_name(slides) | {_stem(path): path for path in slides})
    good = sorter.refuse_marked(_checked(sorter.dataset, rows)).sort_values("path")
    for row in progress(good.to_dict("records"), what=f"find tissue {sorter.dataset.key}", total=len(good), unit="slide"):
        tiles = sorter.open(row["path"], partial(tile_names, power=None if pd.isna(row["power"]) else row["power"]))
        if tiles:
            sorter.accept(_tiles(sorter.dataset, {str(name): value for name, value in row.items()}, tiles))


def _table(sorter: Sorter, slides: list[str]) -> pd.DataFrame | None:
    """Return the table, for sources without one the names of the files; None where there is nothing to place."""
    delivered = any(path.casefold() == TABLE for path in sorter.files)
    if sorter.dataset.classes or delivered:
        return sorter.table(TABLE, ("slide_id",), slides)
    return pd.DataFrame({"slide_id": [path.rsplit("/", 1)[-1] for path in slides], LINE: 0}) if slides else None


def _rows(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    named = file_names(table["slide_id"]).str.replace(r"^.*/", "", regex=True)
    word = values.text(column(table, "label")).fillna(values.text(column(table, "specimen_type")))
    spelt = word.str.casefold().map(_WORDS).where(lambda found: found.isin(list(dataset.classes)))
    stated, coded = values.identifier(column(table, "case_id")), named.str.upper().str.extract(_CASE, expand=False)
    return pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "stated": stated,
            "coded": coded,
            "patient_id": values.prefixed(dataset.patient_namespace, stated.fillna(coded)),
            "label": values.label(spelt.fillna(word), dataset.classes),
            "power": values.number(column(table, "objective_power").str.removesuffix("x").str.removesuffix("X")),
            "age": values.age(column(table, "age")),
            "sex": values.sex(column(table, "sex")),
            "site": values.site(column(table, "site")),
        }
    )


def _checked(dataset: Dataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Refuse slides of no case, of two cases, and of labels that the task does not have."""
    unlike = rows["stated"].notna() & rows["coded"].notna() & (rows["stated"].str.upper() != rows["coded"])
    sentence = "case_id says " + rows["stated"] + ", the file's name says " + rows["coded"] + "; correct the table"
    rows = refuse(rows, unlike, Reason.CONTRADICTION, sentence)
    nobody = f"nobody says whose slide it is; give slide_id and case_id in {TABLE}"
    rows = refuse(rows, rows["patient_id"].isna(), Reason.NO_METADATA, nobody)
    if not dataset.classes:
        return rows
    seen = ("the label is '" + rows["label"] + "'").fillna("it has no label")
    wrong = ~rows["label"].isin(list(dataset.classes))
    return refuse(rows, wrong, Reason.UNKNOWN_LABEL, seen + f"; allowed: {', '.join(dataset.classes)}")


def _tiles(dataset: Dataset, row: dict[str, Any], tiles: dict[str, str]) -> pd.DataFrame:
    """Return a row a tile of a slide."""
    slide = _stem(row["path"])
    places = [place for name in tiles if (place := parse_name(name)) is not None]
    frame = pd.DataFrame({"path": list(tiles.values()), "image_id": [f"{slide}_{name}" for name in tiles]})
    frame = frame.assign(modality=dataset.modalities[0], lesion_id=f"{dataset.patient_namespace}:{slide}")
    frame = frame.assign(attributes=values.attributes(pd.DataFrame(places, columns=["x", "y", "span"])))
    return frame.assign(**{name: row[name] for name in _TOLD})


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1][: -len(SUFFIX)]
