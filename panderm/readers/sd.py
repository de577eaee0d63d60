"""SD-198 and SD-128 as shared (Sun et al., 2016): ``<Condition>/<file>.jpg``, also below ``images/``; lists of splits beside.

SD-128 is SD-198 without its rare conditions; which 128 these are stands in no publication, so the words are the delivery's:
128 folders, or all 198 with a ``classes.txt`` that names the 128 (:mod:`panderm.readers.class_list`).
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.readers import class_list, values
from panderm.readers.base import Delivery
from panderm.readers.class_folders import in_folders
from panderm.readers.listing import is_litter
from panderm.readers.sorting import Sorter

_LIST = re.compile(r"(train|test|val|class|image|label|split)[^/]*\.txt$", re.IGNORECASE)


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; conditions that a ``classes.txt`` leaves out are unknown labels, the lists metadata files."""
    sorter = Sorter(dataset, landing)
    rows = in_folders(sorter)
    folder = rows["label"]
    words = class_list.read_words(sorter, landing, folder)
    sorter.keep(sorter.images(_is_list))
    rows = rows.assign(label=words.label(folder), attributes=values.attributes(pd.DataFrame({"delivered_label": folder})))
    sorter.accept(words.mark(rows))
    return sorter.finish()


def _is_list(path: str) -> bool:
    """Return whether a file is one of the text files that come with SD-198: lists of images, classes and splits."""
    return bool(_LIST.search(path)) and not is_litter(path)
