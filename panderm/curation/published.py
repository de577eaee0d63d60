"""All published manifests as one table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import datasets
from panderm.core.files import sha256_file
from panderm.core.layout import benchmark_dataset
from panderm.core.tables import MANIFEST, MASK, empty, read_table

MANIFEST_NAME = "manifest.parquet"


def load_published(data: Path) -> pd.DataFrame:
    """Return every published image, masks left out: the manifest's columns and three more, sorted by (dataset, image_id).

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
            frames.append(frame[frame["role"] != MASK])
    filled = [frame for frame in frames if len(frame)] or frames
    rows = pd.concat(filled, ignore_index=True)
    return rows.sort_values(["dataset", "image_id"], kind="stable", ignore_index=True)


def load_masks(data: Path, dataset: str) -> pd.DataFrame:
    """Return a dataset's masks: ``image_id`` of the masked image, ``mask_shard``, ``mask_offset``, ``mask_nbytes``."""
    frame = read_table(data / dataset / MANIFEST_NAME, MANIFEST)
    masks = frame[frame["role"] == MASK].drop_duplicates("mask_of")
    return pd.DataFrame(
        {
            "image_id": masks["mask_of"],
            "mask_shard": f"{dataset}/" + masks["shard"].astype(object),
            "mask_offset": masks["offset"],
            "mask_nbytes": masks["nbytes"],
        }
    ).reset_index(drop=True)


def manifest_hashes(data: Path) -> dict[str, str]:
    """Return the sha256 of each published manifest by dataset."""
    paths = {dataset.key: data / dataset.key / MANIFEST_NAME for dataset in datasets()}
    return {f"manifest {key}": sha256_file(path) for key, path in paths.items() if path.is_file()}
