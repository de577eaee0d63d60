"""What an expectation cannot compute from the manifest alone, as columns of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from panderm.core.errors import InputError
from panderm.core.files import sha256_bytes
from panderm.core.reasons import Reason
from panderm.imaging.shards import ShardReader

OTHER_SCOPE = (Reason.HELD_OUT.value, Reason.OUT_OF_SCOPE.value)
"""Reasons that say nothing against a delivery: the images are good, but another data set's."""


def with_facts(
    manifest: pd.DataFrame, quarantine: pd.DataFrame, counts: dict[str, int], staged: Path, verify: int
) -> pd.DataFrame:
    """Return the manifest with ``min_side``, ``quarantined_share``, ``unaccounted_files`` and ``bytes_intact``.

    Args:
        manifest: the staged manifest.
        quarantine: the staged quarantine table.
        counts: ingest's counts.
        staged: folder of the shards.
        verify: how many images, spread evenly, are read back.
    """
    here = counts["images"] - counts["kept_images"]
    other = int(quarantine["reason"].isin(OTHER_SCOPE).sum())
    refused = counts["quarantined_files"] - other
    recorded = here + counts["quarantined_files"] + counts["metadata_files"]
    in_tables = (len(manifest), len(quarantine)) == (counts["images"], counts["quarantined_files"] + counts["quarantined_rows"])
    return manifest.assign(
        min_side=manifest[["width", "height"]].min(axis=1),
        quarantined_share=refused / max(1, counts["images"] + refused),
        unaccounted_files=abs(counts["files_in_landing"] - recorded) if in_tables else counts["files_in_landing"],
        bytes_intact=_intact(manifest, staged, verify),
    )


def _intact(manifest: pd.DataFrame, staged: Path, verify: int) -> pd.Series:
    """Return per row ``yes`` or ``no`` for images that were read back, None for those that were not."""
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
