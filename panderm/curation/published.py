"""All published manifests as one table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import datasets
from panderm.core.files import sha256_file
from panderm.core.layout import benchmark_dataset
from panderm.core.tables import MANIFEST, empty, read_table

MANIFEST_NAME = "manifest.parquet"


def load_published(data: Path) -> pd.DataFrame:
    """Return every published image: the manifest's columns and three more, sorted by (dataset, image_id).

    ``shard`` becomes relative to ``data``; ``benchmark`` says whether the dataset is one; ``namespace`` is the prefix
    that image ids of one archive share, so that equal ids of unrelated sources do not fall together.
    """
    frames = [empty(MANIFEST).assign(benchmark=pd.Series(dtype=bool), namespace=pd.Series(dtype=object))]
    for dataset in datasets():
        path = data / dataset.key / MANIFEST_NAME
        if path.is_file():
            frame = read_table(path, MANIFEST)
            frame["dataset"] = dataset.key
            frame["shard"] = f"{dataset.key}/" + frame["shard"].astype(object)
            frame["benchmark"] = dataset.key.startswith(benchmark_dataset(""))
            frame["namespace"] = dataset.patient_namespace
            frames.append(frame)
    filled = [frame for frame in frames if len(frame)] or frames
    rows = pd.concat(filled, ignore_index=True)
    return rows.sort_values(["dataset", "image_id"], kind="stable", ignore_index=True)


def manifest_hashes(data: Path) -> dict[str, str]:
    """Return the sha256 of each published manifest by dataset."""
    paths = {dataset.key: data / dataset.key / MANIFEST_NAME for dataset in datasets()}
    return {f"manifest {key}": sha256_file(path) for key, path in paths.items() if path.is_file()}
