"""Fitzpatrick17k (Groh et al., 2021): ``fitzpatrick17k.csv`` and the images that its links give, named ``<md5hash>.jpg``.

Columns: md5hash, fitzpatrick_scale (-1 where the annotators could not tell), fitzpatrick_centaur, label (114 conditions),
nine_partition_label, three_partition_label, qc, url, url_alphanum. Links are not carried on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.csvfile import LINE
from panderm.readers.listing import looks_like_image
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "fitzpatrick17k.csv"
REQUIRED = ("md5hash", "label")
_KEPT = ("nine_partition_label", "three_partition_label", "qc")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; images may lie in any folder."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(looks_like_image)
    name = sorter.find(TABLE)
    table = sorter.table(name, REQUIRED, images)
    if table is not None:
        named = file_names(table["md5hash"])
        kept = {name: values.text(column(table, name)) for name in _KEPT}
        kept["fitzpatrick_centaur"] = values.skin_type(column(table, "fitzpatrick_centaur"))
        rows = pd.DataFrame(
            {
                "named": named,
                LINE: table[LINE],
                "image_id": stems(named),
                "modality": dataset.modalities[0],
                "label": values.label(table["label"], dataset.classes),
                "skin_type": values.skin_type(column(table, "fitzpatrick_scale")),
                "attributes": values.attributes(pd.DataFrame(kept).astype(object)),
            }
        )
        sorter.place(name, rows, by_name(images))
    return sorter.finish()
