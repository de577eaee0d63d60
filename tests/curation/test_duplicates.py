from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.curation import duplicates
from panderm.curation.duplicates import (
    ORIENTATIONS,
    exact_pairs,
    hash_bytes,
    near_pairs,
    propose,
    turn_hashes,
    turn_thumbnails,
)
from panderm.curation.published import load_published

Draw = Callable[[int], Image.Image]
Encode = Callable[..., bytes]


def _pairs(frame: pd.DataFrame) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in frame[["i", "j"]].itertuples(index=False)]


def _turned(picture: Image.Image, number: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(turn_thumbnails(np.asarray(picture)[None], ORIENTATIONS[number])[0]))


def test_exact_pairs__by_delivered_or_stored_bytes() -> None:
    rows = pd.DataFrame({"delivered_sha256": ["a", "b", "a", "c"], "stored_sha256": ["1", "2", "3", "2"]})
    assert _pairs(exact_pairs(rows)) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("number", range(8))
def test_turn_hashes__is_nearly_the_turned_picture_s_hash(number: int, draw: Draw) -> None:
    def bits(picture: Image.Image) -> np.ndarray:
        return hash_bytes(pd.Series([str(imagehash.phash(picture))]))

    distances = []
    for seed in range(20):
        predicted = turn_hashes(bits(draw(seed)), ORIENTATIONS[number])
        distances.append(np.unpackbits(predicted ^ bits(_turned(draw(seed), number))).sum())
    assert np.median(distances) <= 6  # two unrelated hashes differ in 32 bits


@pytest.mark.parametrize("distance", [0, 4, 6, 11])
def test_propose__finds_exactly_what_comparing_all_pairs_finds(distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(distance)
    base = rng.integers(0, 256, (60, 8), dtype=np.uint8)
    noisy = base[rng.integers(0, 60, 240)] ^ np.packbits(rng.random((240, 64)) < 0.06, axis=1)
    hashes = np.concatenate([base, noisy, turn_hashes(base[:20], ORIENTATIONS[5])])
    expected = set()
    for number, how in enumerate(ORIENTATIONS):
        apart = np.unpackbits(turn_hashes(hashes, how)[:, None] ^ hashes[None], axis=2).sum(2)
        expected |= {
            (i, j) for i, j in np.argwhere(apart <= distance) if i < j and (number == 0 or (hashes[i] != hashes[j]).any())
        }
    for below in (10**9, 0):  # flat comparison, then multi-index hashing
        monkeypatch.setattr(duplicates, "_FLAT_BELOW", below)
        found = propose(hashes, distance)
        assert set(_pairs(found)) == expected
        for row in found.itertuples():  # the orientation said is the one that brings i to j
            turned = turn_hashes(hashes[[row.i]], ORIENTATIONS[row.orientation])
            assert np.unpackbits(turned ^ hashes[row.j]).sum() == row.distance


def test_near_pairs__copies_yes_look_alikes_no(draw: Draw, as_jpeg: Encode, publish: Callable[..., object], data: Path) -> None:
    first = draw(1)
    grey = Image.fromarray(np.asarray(first)[:, :, ::-1].copy())  # other colours, nearly the same hash
    files = {
        "a": as_jpeg(first),
        "b": as_jpeg(first, 40),
        "c": as_jpeg(first.resize((60, 45))),
        "d": as_jpeg(draw(2)),
        "e": as_jpeg(first.transpose(Image.Transpose.ROTATE_90)),
        "f": as_jpeg(grey.convert("L").convert("RGB")),
    }
    publish("mym", [{"image_id": name, "file": file} for name, file in files.items()])
    rows = load_published(data)
    proposed = _pairs(propose(hash_bytes(rows["phash"]), 6))
    assert (0, 5) in proposed, "the example needs a look-alike that the hash alone would take"
    found = _pairs(near_pairs(rows, data, distance=6, similarity=0.94))
    assert {(0, 1), (0, 2), (1, 2)} <= set(found)
    assert (0, 4) in found
    assert not [pair for pair in found if 3 in pair or 5 in pair]


def test_near_pairs__flat_pictures_are_nobody_s_copy(as_jpeg: Encode, publish: Callable[..., object], data: Path) -> None:
    blank = [Image.new("RGB", (80, 60), colour) for colour in ("white", "black", "red")]
    publish("mym", [{"image_id": f"i{n}", "file": as_jpeg(picture)} for n, picture in enumerate(blank)])
    assert near_pairs(load_published(data), data, distance=6, similarity=0.94).empty


def test_near_pairs__no_rows(data: Path) -> None:
    assert near_pairs(load_published(data), data, distance=6, similarity=0.94).empty
