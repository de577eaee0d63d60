"""Which source images the encoder may learn from: none that a benchmark holds in any form, and each picture once."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.tables import EXCLUSIONS


class Exclusion(StrEnum):
    """Why a published source image is not in the corpus; the first that applies, in this order."""

    BENCHMARK_ID = "benchmark_id"  # a benchmark of the same archive has an image of this id
    BENCHMARK_BYTES = "benchmark_bytes"  # a benchmark image was delivered or is stored as the same bytes
    BENCHMARK_NEAR = "benchmark_near_duplicate"  # a benchmark image shows the same picture
    BENCHMARK_LESION = "benchmark_lesion"  # another photograph of a lesion that a benchmark has
    BENCHMARK_PATIENT = "benchmark_patient"  # a patient whom a benchmark has
    DUPLICATE_BYTES = "duplicate_bytes"  # the same bytes as an image that is in the corpus
    DUPLICATE_NEAR = "near_duplicate"  # the same picture as an image that is in the corpus


def exclude(rows: pd.DataFrame, exact: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """Return the exclusions (columns of ``core.tables.EXCLUSIONS``), sorted by (dataset, image_id).

    Every published image of every benchmark counts, whatever its split and whether labelled or not.

    Args:
        rows: all published images as ``load_published`` returns them, with index 0 .. N-1.
        exact: pairs ``i``, ``j`` of rows with equal bytes.
        near: pairs ``i``, ``j``, ``distance`` of rows that show the same picture.
    """
    held: dict[int, tuple[Exclusion, int, int | None]] = {}

    def hold(reason: Exclusion, matches: pd.DataFrame) -> None:
        for own, other, bits in matches[["own", "other", "distance"]].itertuples(index=False):
            held.setdefault(int(own), (reason, int(other), None if pd.isna(bits) else int(bits)))

    hold(Exclusion.BENCHMARK_ID, _shared(rows, rows["namespace"].astype(str) + ":" + rows["image_id"]))
    for column in ("delivered_sha256", "stored_sha256"):
        hold(Exclusion.BENCHMARK_BYTES, _shared(rows, rows[column]))
    hold(Exclusion.BENCHMARK_NEAR, _across(rows, near))
    hold(Exclusion.BENCHMARK_LESION, _shared(rows, rows["lesion_id"]))
    hold(Exclusion.BENCHMARK_PATIENT, _shared(rows, rows["patient_id"]))
    left = (~rows["benchmark"] & ~rows.index.isin(list(held))).to_numpy()
    for own, other, bits in _repeats(rows, left, exact, near):
        held[own] = (Exclusion.DUPLICATE_BYTES if bits is None else Exclusion.DUPLICATE_NEAR, other, bits)
    return _table(rows, held)


def _shared(rows: pd.DataFrame, key: pd.Series) -> pd.DataFrame:
    """Return source rows whose key a benchmark row has: ``own``, ``other`` (the first such row), ``distance`` null."""
    benchmark = rows["benchmark"] & key.notna()
    first = pd.Series(rows.index[benchmark], index=key[benchmark]).groupby(level=0).first()
    other = key[~rows["benchmark"] & key.notna()].map(first).dropna()
    return pd.DataFrame({"own": other.index, "other": other.to_numpy(), "distance": None})


def _across(rows: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of a source row and a benchmark row, nearest first."""
    mirrored = near.rename(columns={"i": "j", "j": "i"})
    both = pd.concat([near, mirrored]).rename(columns={"i": "own", "j": "other"})
    benchmark = rows["benchmark"].to_numpy()
    chosen = ~benchmark[both["own"].to_numpy(dtype=np.intp)] & benchmark[both["other"].to_numpy(dtype=np.intp)]
    found: pd.DataFrame = both[chosen].sort_values(["own", "distance", "other"])
    return found


def _repeats(
    rows: pd.DataFrame, left: NDArray[np.bool_], exact: pd.DataFrame, near: pd.DataFrame
) -> list[tuple[int, int, int | None]]:
    """Return (dropped, kept, distance) so that no two kept rows are a pair: the largest picture of each stays.

    Row by row in order of preference, a row is dropped when it is paired with one already kept. So each dropped image
    has its like in the corpus; joining whole chains instead would drop images that resemble none that is kept.
    """
    pairs = pd.concat([exact.assign(distance=-1), near])
    i, j = pairs["i"].to_numpy(dtype=np.intp), pairs["j"].to_numpy(dtype=np.intp)
    inside = left[i] & left[j]
    neighbours: dict[int, list[tuple[int, int]]] = {}
    for a, b, bits in zip(i[inside], j[inside], pairs["distance"].to_numpy()[inside], strict=True):
        neighbours.setdefault(int(a), []).append((int(bits), int(b)))
        neighbours.setdefault(int(b), []).append((int(bits), int(a)))
    pixels = (rows["width"].astype("int64") * rows["height"]).to_numpy()
    kept: set[int] = set()
    dropped: list[tuple[int, int, int | None]] = []
    for row in sorted(neighbours, key=lambda n: (-pixels[n], n)):
        like = min(((bits, other) for bits, other in neighbours[row] if other in kept), default=None)
        if like is None:
            kept.add(row)
        else:
            dropped.append((row, like[1], None if like[0] < 0 else like[0]))
    return dropped


def _table(rows: pd.DataFrame, held: dict[int, tuple[Exclusion, int, int | None]]) -> pd.DataFrame:
    own, other = sorted(held), [held[n][1] for n in sorted(held)]
    table = pd.DataFrame(
        {
            "dataset": rows["dataset"].iloc[own].to_numpy(),
            "image_id": rows["image_id"].iloc[own].to_numpy(),
            "reason": [str(held[n][0]) for n in own],
            "matched_dataset": rows["dataset"].iloc[other].to_numpy(),
            "matched_image_id": rows["image_id"].iloc[other].to_numpy(),
            "distance": pd.array([held[n][2] for n in own], dtype="Int32"),
        }
    )
    assert list(table.columns) == EXCLUSIONS.names
    return table
