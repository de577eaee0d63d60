"""What every kind of task needs to be tried: a tiny encoder, pictures in a real shard, a split, and what ``fit`` is given."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.catalog import Benchmark
from panderm.core.tables import SPLIT, write_table
from panderm.imaging.preprocessing import Preprocessing
from panderm.imaging.shards import ShardWriter
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, save_encoder
from panderm.tasks.kinds import Given
from panderm.tasks.rows import SPLIT_NAME, read_rows

TINY = EncoderConfig(image_size=32, patch_size=8, width=32, depth=2, heads=2)
SPEC = Preprocessing(size=32, resize=36)

Make = Callable[..., Given]


@pytest.fixture
def make_given(tmp_path: Path) -> Make:
    """Return a maker: task, rows (columns of the split, ``pixels`` and perhaps ``mask`` as arrays) -> what a kind is given."""

    def make(task: Benchmark, rows: list[dict[str, Any]]) -> Given:
        (tmp_path / "data" / "t" / "shards").mkdir(parents=True)
        shard = "t/shards/000000.tar"
        table = []
        with ShardWriter(tmp_path / "data" / shard) as writer:
            for number, row in enumerate(rows):
                file = _png(row["pixels"])
                facts = {"image_id": f"i{number:03d}", "group": f"g{number:03d}", "shard": shard}
                facts |= {"stored_sha256": hashlib.sha256(file).hexdigest()} | row
                facts["offset"], facts["nbytes"] = writer.add(facts["image_id"], "png", file, {})
                if row.get("mask") is not None:
                    facts["mask_shard"] = shard
                    facts["mask_offset"], facts["mask_nbytes"] = writer.add(f"m{number:03d}", "png", _png(row["mask"]), {})
                table.append({name: value for name, value in facts.items() if name not in ("pixels", "mask")})
        frame = pd.DataFrame(table)
        frame["target"] = frame["label"].map({name: index for index, name in enumerate(task.classes)})
        write_table(tmp_path / "split" / SPLIT_NAME, frame, SPLIT)
        encoder = tmp_path / "encoder"
        encoder.mkdir()
        save_encoder(encoder, build_untrained_encoder(TINY, seed=0), EncoderCard(architecture=TINY, preprocessing=SPEC))
        return Given(
            task=task,
            rows=read_rows(task, tmp_path / "split"),
            split=tmp_path / "split",
            data=tmp_path / "data",
            encoder=encoder,
            features=tmp_path / "work" / "features",
            work=tmp_path / "work" / task.key,
            say=[].append,
        )

    return make


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(stream, "PNG")
    return stream.getvalue()
