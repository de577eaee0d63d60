"""PH2 as the University of Porto ships it (Mendonça et al., 2013): ``PH2_dataset.txt`` and a folder of bitmaps a case.

``PH2 Dataset images/IMD003/IMD003_Dermoscopic_Image/IMD003.bmp`` is the image; masks of lesion and colours lie beside it.
The text table parts its columns by bars and ends with legends; ``PH2_dataset.xlsx`` says the same once more and is not
read. Clinical diagnosis 2 is melanoma, 0 and 1 are common and atypical naevi.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE, UnreadableTable, read_text
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "PH2_dataset.txt"
REQUIRED = ("name", "clinical diagnosis")
_DIAGNOSES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}
_FINDINGS = ("histological diagnosis", "asymmetry", "pigment network", "dots/globules", "streaks", "regression areas")
_IMAGES = re.compile(r"(^|/)ph2 dataset images/", re.IGNORECASE)
_IMAGE = re.compile(r"_dermoscopic_image/[^/]+$", re.IGNORECASE)


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery, also from below a folder ``PH2Dataset``; masks and workbook count as metadata files."""
    sorter = Sorter(dataset, landing)
    below = [path for path in sorter.files if _IMAGES.search(path)]
    images = sorter.images(lambda path: bool(_IMAGES.search(path)) and bool(_IMAGE.search(path)))
    sorter.keep([path for path in below if path.casefold().endswith(".bmp") and path not in set(images)])
    sorter.keep([path for path in sorter.files if path.rsplit("/", 1)[-1].casefold() == "ph2_dataset.xlsx"])
    found = sorter.find(TABLE)
    table = sorter.table(found, REQUIRED, images, read_bars)
    if table is not None:
        named = file_names(table["name"])
        code = values.identifier(table["clinical diagnosis"])
        diagnosis = code.map(_DIAGNOSES).astype("string")
        other, melanoma = dataset.classes
        label = diagnosis.map(lambda name: melanoma if name == "melanoma" else other, na_action="ignore").astype("string")
        findings = {name.replace("/", " ").replace(" ", "_"): values.text(column(table, name)) for name in _FINDINGS}
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "label": label.fillna(code),
                "attributes": values.attributes(pd.DataFrame({"diagnosis": diagnosis, **findings}).astype(object)),
            }
        )
        sorter.place(found, rows, by_name(images))
    return sorter.finish()


def read_bars(path: Path) -> pd.DataFrame:
    """Return the text table: lines that begin with a bar, columns parted by one or two; what follows them is legend.

    Raises:
        UnreadableTable: no line begins with a bar, or a row has more values than the header.
    """
    rows = [
        [
            LINE if number == 1 else str(number),
            *(part.strip() for part in line.strip().strip("|").replace("||", "|").split("|")),
        ]
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.lstrip().startswith("|")
    ]
    if not rows:
        raise UnreadableTable(f"{path.name} is not a readable table (no line begins with a bar)")
    header = [LINE, *(name.casefold() for name in rows[0][1:])]
    if any(len(row) > len(header) for row in rows):
        raise UnreadableTable(f"{path.name} is not a readable table (its rows have more values than its header)")
    return pd.DataFrame([row + [""] * (len(header) - len(row)) for row in rows[1:]], columns=header)
