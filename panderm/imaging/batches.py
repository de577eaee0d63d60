"""A table's images, prepared and in its order, a batch at a time: the read path of features, evaluation and export."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.core.progress import progress
from panderm.imaging.preprocessing import Preprocessing, UndecodableImage, prepare_bytes
from panderm.imaging.shards import ShardReader

Pixels = NDArray[np.uint8]
Prepare = Callable[[bytes, Preprocessing], Pixels]
Row = tuple[str, str, int, int]  # image_id, shard, offset, nbytes


def prepared_batches(
    frame: pd.DataFrame,
    data: Path,
    spec: Preprocessing,
    *,
    batch: int = 64,
    workers: int = 2,
    what: str = "images",
    prepare: Prepare = prepare_bytes,
) -> Iterator[Pixels]:
    """Yield the images of ``frame`` as uint8 (n, 3, S, S), n at most ``batch``, in the order of the rows.

    Args:
        frame: columns ``image_id``, ``shard`` (relative to ``data``), ``offset``, ``nbytes``.
        data: folder of the published datasets.
        spec: how each image is prepared.
        batch: images a batch; 64 of 224 px are 10 MB.
        workers: decoding threads (Pillow decodes outside the interpreter lock); at most two batches wait in memory.
        what: title of the progress bar.
        prepare: what makes an image of a file's bytes; one that returns (V, 3, S, S) has batches of (n, V, 3, S, S).

    Raises:
        InputError: a shard is missing or too short, or holds something that is no image at that place.
    """
    reader = ShardReader(data)
    waiting: deque[Future[Pixels]] = deque()
    ready: list[Pixels] = []
    try:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for row in progress(image_rows(frame), what=what, total=len(frame), unit="img"):
                image_id, shard, offset, nbytes = row
                data_of_it = reader.read(shard, offset, nbytes)  # here: the reader's open files are not for several threads
                waiting.append(pool.submit(_prepare, f"{image_id} in {shard}", data_of_it, spec, prepare))
                if len(waiting) >= 2 * batch:
                    ready.append(waiting.popleft().result())
                if len(ready) == batch:
                    yield np.stack(ready)
                    ready = []
            ready += [future.result() for future in waiting]
        for first in range(0, len(ready), batch):
            yield np.stack(ready[first : first + batch])
    finally:
        reader.close()


def image_rows(frame: pd.DataFrame) -> Iterator[Row]:
    """Yield where each image of a table is: image_id, shard, offset, nbytes."""
    columns = (frame[name] for name in ("image_id", "shard", "offset", "nbytes"))
    for image_id, shard, offset, nbytes in zip(*columns, strict=True):
        yield str(image_id), str(shard), int(offset), int(nbytes)


def _prepare(name: str, data: bytes, spec: Preprocessing, prepare: Prepare) -> Pixels:
    try:
        return prepare(data, spec)
    except UndecodableImage as error:
        raise InputError(f"image {name} cannot be read: {error}; fetch or publish its dataset again") from error
