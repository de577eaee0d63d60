"""Aligned pairs as a network takes them, computed once for each (pair, settings, arm, preprocessing) and kept.

One safetensors file a pair, named by the sha256 of both stored images; deleting the folder costs time and nothing else.
"""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from panderm.core.errors import InputError
from panderm.core.files import sha256_json, writing
from panderm.core.progress import progress
from panderm.imaging.batches import image_rows
from panderm.imaging.preprocessing import DAMAGED, Preprocessing, prepare
from panderm.imaging.sequential.pairs import images_of
from panderm.imaging.sequential.pipeline import align, pictures
from panderm.imaging.sequential.settings import AlignSettings, Arm
from panderm.imaging.sequential.sheet import told
from panderm.imaging.shards import ShardReader

_REVISION = 1  # of the steps; raise it when they give other pixels for equal settings
_WAITING = 4  # pairs in work at once; their images are all that is in memory besides the answer


class Wanted(NamedTuple):
    """What is made of the pairs.

    Attributes:
        settings: of the steps.
        arm: what of them the network gets to see.
        spec: how a picture becomes the network's input.
    """

    settings: AlignSettings
    arm: Arm
    spec: Preprocessing


class AlignedPairs(NamedTuple):
    """Pairs in memory.

    Attributes:
        pixels: (P, 2, 3, S, S) uint8, first and second image.
        facts: of each pair, as :func:`panderm.imaging.sequential.sheet.told` gives them.
    """

    pixels: NDArray[np.uint8]
    facts: list[dict[str, Any]]


def aligned_pairs(pairs: pd.DataFrame, data: Path, cache: Path, wanted: Wanted, what: str = "align") -> AlignedPairs:
    """Return the pairs as the network takes them, computing only what the cache lacks.

    Args:
        pairs: what :func:`panderm.imaging.sequential.pairs.pairs_of` returns.
        data: folder of the published datasets.
        cache: folder of the cache.
        wanted: settings, arm, preprocessing.
        what: title of the progress bar.

    Raises:
        InputError: an image or shard is missing or damaged, or a file of the cache is.
    """
    home = cache / _key(wanted)
    digests = [sha256_json(list(two)) for two in zip(pairs["first_stored_sha256"], pairs["second_stored_sha256"], strict=True)]
    first_of = {digest: number for number, digest in reversed(list(enumerate(digests)))}
    lacking = sorted(number for digest, number in first_of.items() if not _path(home, digest).is_file())
    _compute(pairs.iloc[lacking], [digests[number] for number in lacking], data, home, wanted, what)
    size = wanted.spec.size
    pixels = np.empty((len(pairs), 2, 3, size, size), dtype=np.uint8)
    facts = []
    for number, digest in enumerate(digests):
        pixels[number], one = _read(_path(home, digest))
        facts.append(one)
    return AlignedPairs(pixels, facts)


def _key(wanted: Wanted) -> str:
    named = {"revision": _REVISION, "settings": wanted.settings.model_dump(mode="json"), "spec": wanted.spec.to_json()}
    return f"{wanted.arm}-{sha256_json(named)[:16]}"


def _path(home: Path, digest: str) -> Path:
    return home / f"{digest[:32]}.safetensors"


def _compute(pairs: pd.DataFrame, digests: list[str], data: Path, home: Path, wanted: Wanted, what: str) -> None:
    """Align pairs in a few threads (OpenCV works outside the interpreter lock) and write a file for each."""
    reader = ShardReader(data)
    rows = zip(digests, image_rows(images_of(pairs, "first")), image_rows(images_of(pairs, "second")), strict=True)
    try:
        with ThreadPoolExecutor(_WAITING // 2) as pool:
            waiting = []
            for digest, *two in progress(rows, what=what, total=len(digests), unit="pair"):
                images = [_opened(reader, *row) for row in two]  # here: the reader's open files are not for several threads
                waiting.append(pool.submit(_make, images, _path(home, digest), wanted))
                if len(waiting) >= _WAITING:
                    waiting.pop(0).result()
            for future in waiting:
                future.result()
    finally:
        reader.close()


def _opened(reader: ShardReader, name: str, shard: str, offset: int, nbytes: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(reader.read(shard, offset, nbytes))).convert("RGB")
    except (Image.DecompressionBombError, *DAMAGED) as error:
        raise InputError(f"image {name} in {shard} cannot be read ({error}); publish its dataset again") from error


def _make(images: list[Image.Image], path: Path, wanted: Wanted) -> None:
    pair = align(images[0], images[1], wanted.settings)
    shown = [prepare(Image.fromarray(picture), wanted.spec) for picture in pictures(pair, wanted.arm)]
    with writing(path) as aside:
        save_file({"pixels": np.stack(shown)}, aside, metadata={"facts": json.dumps(told(pair), sort_keys=True)})


def _read(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    try:
        with safe_open(path, framework="np") as file:
            pixels: NDArray[np.uint8] = file.get_tensor("pixels")
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of aligned pairs ({error}); remove it, it is made again") from error
    return pixels, facts
