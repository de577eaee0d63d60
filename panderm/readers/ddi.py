"""DDI as Stanford AIMI ships it (Daneshjou et al., 2022): ``ddi_metadata.csv`` beside 656 PNGs.

Columns: DDI_ID, DDI_file, skin_tone (12, 34 or 56: Fitzpatrick I-II, III-IV, V-VI), malignant, disease. The paper groups the
diseases into melanoma and others, so every name with ``melanoma`` in it (in situ, acral lentiginous, nodular) is the
positive class and ``malignant`` is an attribute. Nobody says whose photo an image is.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE
from panderm.readers.listing import looks_like_image
from panderm.readers.sorting import Sorter, by_name, column, file_names, stems

TABLE = "ddi_metadata.csv"
REQUIRED = ("ddi_file", "disease")


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; a melanoma that the table calls benign is refused, since nobody can say which is right."""
    sorter = Sorter(dataset, landing)
    images = sorter.images(looks_like_image)
    name = sorter.find(TABLE)
    table = sorter.table(name, REQUIRED, images)
    if table is None:
        return sorter.finish()
    named = file_names(table["ddi_file"])
    disease = values.text(table["disease"]).str.casefold()
    melanoma = disease.str.contains("melanoma", regex=False)
    malignant = values.yes_no(column(table, "malignant"))
    other, positive = dataset.classes
    rows = pd.DataFrame(
        {
            "named": named,
            LINE: table[LINE],
            "image_id": stems(named),
            "modality": dataset.modalities[0],
            "label": melanoma.map({True: positive, False: other}).astype("string"),
            "skin_type": values.skin_type(column(table, "skin_tone")),
            "attributes": values.attributes(pd.DataFrame({"disease": disease, "malignant": malignant.astype(object)})),
        }
    )
    benign_melanoma = melanoma & (malignant == 0)
    rows = refuse(rows, benign_melanoma, Reason.CONTRADICTION, "disease is '" + disease + "' but malignant is false")
    sorter.place(name, rows, by_name(images))
    return sorter.finish()
