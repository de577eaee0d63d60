"""Images that are the same: by bytes, or by perceptual hash and then by their pixels.

A 64-bit hash proposes and the pixels decide: alone, the hash takes one in 7,000 pairs of *different* dermoscopic
lesions for the same picture at the distance that catches re-compressed copies, which at two million images joins nearly
everything; the pixels leave one in a million. Mirrored and turned copies are found too: a mirrored image's hash is
nearly the hash with the odd frequencies' bits inverted, so no image needs to be opened for proposing. Numbers:
``docs/curation.md``, by ``benchmarks/phash_distance.py``.

Not caught: crops of more than a few percent, turns by other angles, another photograph of the same lesion.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.progress import progress
from panderm.imaging.preprocessing import decode
from panderm.imaging.shards import ShardReader

Hashes = NDArray[np.uint8]  # (N, 8): 64 bits, bit 8u + v is frequency u down and v across
Thumbnails = NDArray[np.uint8]  # (N, THUMBNAIL, THUMBNAIL, 3)

THUMBNAIL = 32
"""Side of the pictures compared, pixels; 16 tells tissue tiles from their re-compressed copies less well (measured)."""

_TABLES, _TABLE_BITS = 4, 16  # multi-index hashing: four 16-bit parts of the hash, one look-up table each
_FLAT_BELOW = 200_000  # hashes; multi-index hashing takes 6 minutes there on one core (measured), flat as much (from 20,000)
_READ, _COMPARE = 256, 50_000  # images a reading job; pairs compared at a time (600 MB of float32)


class Orientation(NamedTuple):
    """One of the eight ways to turn and mirror a picture: first transpose, then mirror left-right, then up-down."""

    transpose: bool
    across: bool
    down: bool


ORIENTATIONS = tuple(Orientation(t, a, d) for t in (False, True) for a in (False, True) for d in (False, True))
_ODD_ACROSS = np.packbits(np.tile(np.arange(8) % 2 == 1, (8, 1)))
_ODD_DOWN = np.packbits(np.tile(np.arange(8) % 2 == 1, (8, 1)).T)


def hash_bytes(phash: pd.Series) -> Hashes:
    """Return perceptual hashes of 16 hex digits as bytes (N, 8)."""
    return np.frombuffer(bytes.fromhex("".join(phash)), dtype=np.uint8).reshape(-1, 8)


def turn_hashes(hashes: Hashes, how: Orientation) -> Hashes:
    """Return, nearly, the hashes that the images would have if they were turned so."""
    if how.transpose:
        bits = np.unpackbits(hashes, axis=1).reshape(-1, 8, 8)
        hashes = np.packbits(bits.transpose(0, 2, 1).reshape(-1, 64), axis=1)
    if how.across:
        hashes = hashes ^ _ODD_ACROSS
    return hashes ^ _ODD_DOWN if how.down else hashes


def turn_thumbnails(thumbnails: Thumbnails, how: Orientation) -> Thumbnails:
    """Return the thumbnails turned so."""
    if how.transpose:
        thumbnails = thumbnails.transpose(0, 2, 1, 3)
    if how.across:
        thumbnails = thumbnails[:, :, ::-1]
    return thumbnails[:, ::-1] if how.down else thumbnails


def exact_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of rows with the same delivered or the same stored bytes: columns ``i``, ``j``, i < j.

    A set of equal images is a star around its first row, which joins them as well as all their pairs would.
    """
    position = pd.Series(np.arange(len(rows)), index=rows.index)
    stars = []
    for column in ("delivered_sha256", "stored_sha256"):
        first = position.groupby(rows[column]).transform("first")
        stars.append(pd.DataFrame({"i": first, "j": position})[first.notna() & (first != position)])
    return pd.concat(stars).astype(np.int64).drop_duplicates().sort_values(["i", "j"], ignore_index=True)


def near_pairs(rows: pd.DataFrame, data: Path, distance: int, similarity: float) -> pd.DataFrame:
    """Return pairs of rows that show the same picture: columns ``i``, ``j`` (i < j), ``distance``; sorted.

    Args:
        rows: columns ``phash``, ``shard`` (relative to ``data``), ``offset``, ``nbytes``.
        data: the folder with the shards.
        distance: largest Hamming distance, in bits of 64, at which a pair is looked at.
        similarity: least correlation of the thumbnails, in -1..1, that confirms a pair.
    """
    if rows.empty:
        return pd.DataFrame({"i": [], "j": [], "distance": []}, dtype=np.int64)
    proposed = propose(hash_bytes(rows["phash"]), distance)
    seen, where = np.unique(proposed[["i", "j"]].to_numpy(), return_inverse=True)
    thumbnails = load_thumbnails(rows.iloc[seen], data)
    places = where.reshape(-1, 2)
    likeness = np.empty(len(proposed), dtype=np.float32)
    for number, how in enumerate(ORIENTATIONS):
        chosen = np.flatnonzero(proposed["orientation"] == number)
        for part in np.array_split(chosen, len(chosen) // _COMPARE + 1):
            left = turn_thumbnails(thumbnails[places[part, 0]], how)
            likeness[part] = correlation(left, thumbnails[places[part, 1]])
    confirmed = proposed[likeness >= similarity].sort_values(["i", "j", "distance"])
    return confirmed.drop_duplicates(["i", "j"])[["i", "j", "distance"]].reset_index(drop=True)


def propose(hashes: Hashes, distance: int) -> pd.DataFrame:
    """Return all pairs whose hashes are within ``distance`` bits in one of the eight orientations.

    Columns ``i``, ``j`` (i < j), ``orientation`` (index into ``ORIENTATIONS``, that of i), ``distance``.
    """
    order = np.lexsort(hashes.T[::-1])
    codes, starts, counts = np.unique(hashes[order], axis=0, return_index=True, return_counts=True)
    found = [_search(codes, distance, number) for number in range(len(ORIENTATIONS))]
    same = np.flatnonzero(counts > 1)  # several images with one hash
    found.append(np.stack([same, same, np.zeros_like(same), np.zeros_like(same)], axis=1))
    left, right, orientation, bits = np.concatenate(found).T
    # Every code pair stands for all pairs of its images: count them out, then say which is which.
    sizes = counts[left] * counts[right]
    pair = np.repeat(np.arange(len(left)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = order[starts[left[pair]] + within // counts[right[pair]]]
    second = order[starts[right[pair]] + within % counts[right[pair]]]
    keep = (first < second) | ((left != right)[pair])
    pairs: pd.DataFrame = pd.DataFrame({"i": first, "j": second, "orientation": orientation[pair], "distance": bits[pair]})[
        keep
    ]
    swapped = (pairs["i"] > pairs["j"]).to_numpy()
    pairs.loc[swapped, ["i", "j"]] = pairs.loc[swapped, ["j", "i"]].to_numpy()
    pairs.loc[swapped, "orientation"] = pairs.loc[swapped, "orientation"].map(_INVERSE)
    unique: pd.DataFrame = pairs.drop_duplicates().sort_values(["i", "j", "orientation"], ignore_index=True)
    return unique


def _inverse(how: Orientation) -> int:
    """Return which orientation undoes ``how``: a quarter turn is undone by the other one, all else by itself."""
    undone = Orientation(how.transpose, how.down, how.across) if how.transpose else how
    return ORIENTATIONS.index(undone)


_INVERSE = {number: _inverse(how) for number, how in enumerate(ORIENTATIONS)}


def _search(codes: Hashes, distance: int, number: int) -> NDArray[np.int64]:
    """Return (M, 4): code, code, orientation, distance for each pair of distinct codes within ``distance``, once."""
    import faiss

    faiss.omp_set_num_threads(_threads())
    index: Any = faiss.IndexBinaryFlat(64)
    if len(codes) >= _FLAT_BELOW:
        # A pair within d bits has a quarter of the hash within d // 4 bits, so nothing is missed.
        index = faiss.IndexBinaryMultiHash(64, _TABLES, _TABLE_BITS)
        index.nflip = distance // _TABLES
    index.add(codes)
    limits, bits, right = index.range_search(np.ascontiguousarray(turn_hashes(codes, ORIENTATIONS[number])), distance + 1)
    ends: NDArray[np.int64] = limits.astype(np.int64)
    left = np.repeat(np.arange(len(codes)), ends[1:] - ends[:-1])
    keep = (left < right) & (bits <= distance)
    chosen = [left[keep], right[keep], np.full(keep.sum(), number), bits[keep]]
    return np.stack(chosen, axis=1).astype(np.int64)


def load_thumbnails(rows: pd.DataFrame, data: Path) -> Thumbnails:
    """Return the stored images of ``rows`` shrunk to ``THUMBNAIL`` pixels a side, whatever their shape."""
    parts = [rows.iloc[start : start + _READ] for start in range(0, len(rows), _READ)]

    def read(part: pd.DataFrame) -> Thumbnails:
        reader = ShardReader(data)
        try:
            stored = zip(part["shard"], part["offset"], part["nbytes"], strict=True)
            pictures = [decode(reader.read(shard, int(offset), int(nbytes))) for shard, offset, nbytes in stored]
            return np.stack([np.asarray(picture.resize((THUMBNAIL, THUMBNAIL))) for picture in pictures])
        finally:
            reader.close()

    with ThreadPoolExecutor(_threads()) as pool:  # Pillow decodes outside the interpreter's lock
        done = list(progress(pool.map(read, parts), what="compare look-alikes", total=len(parts), unit=f"x{_READ} images"))
    return np.concatenate([np.empty((0, THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8), *done])


def correlation(left: Thumbnails, right: Thumbnails) -> NDArray[np.float32]:
    """Return the correlation of each pair of pictures, each colour held against its own mean; 0 where one is flat."""
    a, b = (x.astype(np.float32) - x.mean(axis=(1, 2), keepdims=True, dtype=np.float32) for x in (left, right))
    shared = np.einsum("nxyc,nxyc->n", a, b)
    norms = np.sqrt(np.einsum("nxyc,nxyc->n", a, a) * np.einsum("nxyc,nxyc->n", b, b))
    likeness: NDArray[np.float32] = np.divide(shared, norms, out=np.zeros_like(shared), where=norms > 0)
    return likeness


def _threads() -> int:
    """Return how many cores this process may use; the result does not depend on it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))
