"""Manifest and quarantine, computed from what the reader says now and what the ledger knows of the bytes.

Both are pure functions of delivery, ledger and former manifest: metadata that an institution corrects change them without
any image being touched, and a killed run leaves nothing that could differ.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.core.tables import MANIFEST, MASK, QUARANTINE, empty
from panderm.imaging.members import MARK
from panderm.ingestion.ledger import IMAGE_FACTS
from panderm.readers import Delivery

_COLUMNS = [name for name in QUARANTINE.names if name != "dataset"]
_OF_A_PICTURE = ("split", "label")  # what can be true of a picture only once


def manifest_table(
    dataset: Dataset, delivery: Delivery, files: set[str], ledger: pd.DataFrame, former: pd.DataFrame
) -> pd.DataFrame:
    """Return the manifest: delivered images that are stored, then those whose file has left landing, as they were.

    Args:
        dataset: what was delivered.
        delivery: what the reader says.
        files: every file in landing.
        ledger: rows of the ledger.
        former: the last manifest, empty if there is none.
    """
    stored = ledger.loc[ledger["shard"].notna(), ["path", *IMAGE_FACTS]].reset_index(drop=True)
    current = delivery.rows.merge(stored, on="path").sort_values(["shard", "offset", "path"])
    double = current.duplicated("stored_sha256") & (current["role"] != MASK)
    current = current[~double]  # the first keeps its place, the others are in quarantine
    replaced = former["image_id"].isin(current["image_id"]) | former["stored_sha256"].isin(current["stored_sha256"])
    gone = former[~former["path"].isin(list(files)) & ~replaced]
    return _stacked([current, gone], dataset, MANIFEST.names).sort_values(["shard", "offset"], ignore_index=True)


def quarantine_table(
    dataset: Dataset, delivery: Delivery, files: set[str], ledger: pd.DataFrame, manifest: pd.DataFrame
) -> pd.DataFrame:
    """Return the quarantine: what the layout refused, what the bytes are refused for, and duplicates.

    Args:
        dataset: what was delivered.
        delivery: what the reader says.
        files: every file in landing.
        ledger: rows of the ledger.
        manifest: :func:`manifest_table`'s result.
    """
    known = ledger[["path", "delivered_sha256", "delivered_bytes"]].reset_index(drop=True)
    known["delivered_bytes"] = known["delivered_bytes"].where(known["delivered_bytes"] >= 0)
    layout = delivery.rejects.merge(known[known["path"].isin(list(files))], on="path", how="left")
    layout = layout[~_explained(layout, files, manifest)]
    left = delivery.rows[["path", *_OF_A_PICTURE]][~delivery.rows["path"].isin(manifest["path"])]
    left = left.merge(ledger[["path", "reason", "detail", "stored_sha256"]].reset_index(drop=True), on="path", how="left")
    left = left.merge(known, on="path", how="left")
    double = left["stored_sha256"].notna()
    frames = [layout, left[~double], _doubles(left[double], manifest)]
    table = _stacked(frames, dataset, QUARANTINE.names)
    assert table["reason"].notna().all(), f"{dataset.key}: {table.loc[table['reason'].isna(), 'path'].tolist()[:3]} on no pile"
    return table.sort_values(["path", "reason", "detail"], ignore_index=True)


def _doubles(left: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Say of each duplicate which image it repeats; two files with different tags around one picture are duplicates too."""
    kept = ["path", "delivered_sha256", *_OF_A_PICTURE]
    first = manifest.loc[manifest["role"] != MASK, ["stored_sha256", *kept]]
    first = first.rename(columns={name: f"first_{name}" for name in kept})
    left = left.drop(columns=["reason", "detail"]).merge(first, on="stored_sha256", how="left")
    named = left["first_path"]
    assert named.notna().all(), f"duplicates of nothing: {left.loc[named.isna(), 'path'].tolist()[:3]}"
    bytewise = left["delivered_sha256"] == left["first_delivered_sha256"]
    detail = ("the same bytes as " + named).where(bytewise, "the same pixels as " + named + ", other tags")
    for name in _OF_A_PICTURE:
        here, there = left[name].astype("string"), left[f"first_{name}"].astype("string")
        differ = here.notna() & there.notna() & (here != there)
        said = detail + f"; its {name} is '" + here + "', that one's, which counts, '" + there + "'"
        detail = detail.mask(differ.fillna(False).astype(bool), said)
    return left.assign(reason=Reason.DUPLICATE_BYTES.value, detail=detail)


def _explained(layout: pd.DataFrame, files: set[str], manifest: pd.DataFrame) -> pd.Series:
    """Return which metadata rows without a file name an image that was ingested before its file was cleared away."""
    gone = [PurePosixPath(path) for path in manifest["path"] if path not in files]
    names = {name for path in gone for name in (path.name, path.stem, path.name.rpartition(MARK)[2])}
    lost = layout["reason"] == Reason.MISSING_FILE
    return lost & pd.Series([PurePosixPath(path).name in names for path in layout["path"]], index=layout.index, dtype=bool)


def _stacked(frames: list[pd.DataFrame], dataset: Dataset, columns: list[str]) -> pd.DataFrame:
    """Return the frames below each other with exactly ``columns``; empty ones would blur the others' types."""
    filled = [frame.reindex(columns=columns) for frame in frames if len(frame)]
    schema = MANIFEST if columns == MANIFEST.names else QUARANTINE
    table = pd.concat(filled, ignore_index=True) if filled else empty(schema)
    return table.assign(dataset=dataset.key)
