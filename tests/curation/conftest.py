"""Small published datasets: drawn pictures in real shards with a real manifest."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.core.tables import MANIFEST, write_table
from panderm.imaging.shards import ShardWriter

Publish = Callable[[str, list[dict[str, Any]]], pd.DataFrame]


@pytest.fixture
def draw() -> Callable[[int], Image.Image]:
    """Return a function: number -> a picture unlike those of other numbers."""

    def picture(number: int) -> Image.Image:
        cells = np.random.default_rng(number).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        return Image.fromarray(cells).resize((120, 90), Image.Resampling.BICUBIC)

    return picture


@pytest.fixture
def as_jpeg() -> Callable[[Image.Image, int], bytes]:
    """Return a function: picture, quality -> file."""

    def encode(picture: Image.Image, quality: int = 95) -> bytes:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return stream.getvalue()

    return encode


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def publish(data: Path) -> Publish:
    """Return a function: dataset, rows with ``image_id`` and ``file`` -> its manifest, published."""

    def write(dataset: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
        (data / dataset / "shards").mkdir(parents=True, exist_ok=True)
        writer = ShardWriter(data / dataset / "shards" / "000000.tar")
        table = []
        for row in rows:
            file = row["file"]
            picture = Image.open(io.BytesIO(file))
            offset, nbytes = writer.add(row["image_id"], "jpg", file, {})
            digest = hashlib.sha256(file).hexdigest()
            table.append(
                {"modality": "dermoscopic", "delivered_sha256": digest, "stored_sha256": digest}
                | {"phash": str(imagehash.phash(picture)), "width": picture.width, "height": picture.height}
                | {"shard": "shards/000000.tar", "offset": offset, "nbytes": nbytes, "dataset": dataset}
                | {"path": f"{row['image_id']}.jpg"}
                | {key: value for key, value in row.items() if key != "file"}
            )
        writer.close()
        frame = pd.DataFrame(table)
        write_table(data / dataset / "manifest.parquet", frame, MANIFEST)
        return frame

    return write
