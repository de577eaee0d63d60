"""What an expectation cannot compute from the manifest alone, as columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from panderm.core.errors import InputError
from panderm.core.files import sha256_bytes
from panderm.core.reasons import Reason
from panderm.core.tables import MASK
from panderm.imaging.shards import ShardReader

OTHER_SCOPE = (Reason.HELD_OUT.value, Reason.OUT_OF_SCOPE.value)
"""Reasons that say nothing against a delivery: the images are good, but another data set's."""


def of_delivery(manifest: pd.DataFrame, quarantine: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    """Return one row about the whole delivery: ``images``, ``quarantined_share``, ``unaccounted_files``.

    A table of its own, so that a delivery without a single good image is judged like any other.

    Args:
        manifest: the staged manifest.
        quarantine: the staged quarantine table.
        counts: ingest's counts.
    """
    here = counts["images"] - counts["kept_images"]
    refused = counts["quarantined_files"] - int(quarantine["reason"].isin(OTHER_SCOPE).sum())
    recorded = here + counts["quarantined_files"] + counts["metadata_files"]
    in_tables = (len(manifest), len(quarantine)) == (counts["images"], counts["quarantined_files"] + counts["quarantined_rows"])
    facts = {
        "images": len(manifest),
        "quarantined_share": refused / max(1, counts["images"] + refused),
        "unaccounted_files": abs(counts["files_in_landing"] - recorded) if in_tables else counts["files_in_landing"],
    }
    return pd.DataFrame([facts])


def of_images(manifest: pd.DataFrame, staged: Path, verify: int) -> pd.DataFrame:
    """Return the manifest with three more columns.

    ``min_side``, ``bytes_intact`` (``yes``, ``no``, null where not read back), and ``picture_sha256``: the stored hash of
    pictures, null for masks, of which two may be alike.

    Args:
        manifest: the staged manifest.
        staged: folder of the shards.
        verify: how many images, spread evenly, are read back.
    """
    return manifest.assign(
        min_side=manifest[["width", "height"]].min(axis=1),
        bytes_intact=_intact(manifest, staged, verify),
        picture_sha256=manifest["stored_sha256"].where(manifest["role"] != MASK),
    )


def _intact(manifest: pd.DataFrame, staged: Path, verify: int) -> pd.Series:
    chosen = set(np.linspace(0, len(manifest) - 1, min(verify, len(manifest)), dtype=int).tolist()) if len(manifest) else set()
    reader = ShardReader(staged)
    rows = zip(*(manifest[name] for name in ("shard", "offset", "nbytes", "stored_sha256")), strict=True)
    facts = [
        None if number not in chosen else "yes" if _holds(reader, shard, int(offset), int(nbytes), sha) else "no"
        for number, (shard, offset, nbytes, sha) in enumerate(rows)
    ]
    reader.close()
    return pd.Series(facts, index=manifest.index, dtype="str")


def _holds(reader: ShardReader, shard: str, offset: int, nbytes: int, sha: str) -> bool:
    try:
        return sha256_bytes(reader.read(shard, offset, nbytes)) == sha
    except InputError:  # missing or too short: exactly what is asked
        return False
