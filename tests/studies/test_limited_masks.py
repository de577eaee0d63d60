"""Label efficiency of a segmentation: UperNet on shares of the masks, on a tiny workspace of drawn discs."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from panderm.catalog import benchmark
from panderm.core.layout import Layout
from panderm.core.tables import SPLIT, read_table, write_table
from panderm.evaluation.figures import Resampling
from panderm.imaging.preprocessing import Preprocessing
from panderm.imaging.shards import ShardWriter
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, save_encoder
from panderm.studies.points import POINTS, Given
from panderm.studies.running import given_for, run_study, study_config

TASK = benchmark("ham10000_seg")
TINY = EncoderConfig(image_size=32, patch_size=8, width=32, depth=4, heads=2)
RECIPE = {"epochs": 4, "batch": 6, "learning_rate": 2e-3, "channels": 8, "drop_path": 0.0}


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Forty bright discs with their masks, a patient each; a tiny untrained encoder."""
    layout, rng, rows = Layout(tmp_path), np.random.default_rng(0), []
    shard = f"benchmarks/{TASK.key}/shards/000000.tar"
    (layout.data / shard).parent.mkdir(parents=True)
    with ShardWriter(layout.data / shard) as writer:
        for number in range(40):
            y, x = np.mgrid[:40, :40]
            mask = (y - rng.uniform(14, 26)) ** 2 + (x - rng.uniform(14, 26)) ** 2 < rng.uniform(6, 11) ** 2
            file = png((rng.integers(0, 60, (40, 40, 3)) + 150 * mask[..., None]).astype(np.uint8))
            row = {"image_id": f"i{number:02d}", "group": f"g{number:02d}", "label": "lesion", "target": 1, "shard": shard}
            row |= {"split": ("train", "train", "val", "test")[number % 4], "stored_sha256": hashlib.sha256(file).hexdigest()}
            row["offset"], row["nbytes"] = writer.add(str(row["image_id"]), "png", file, {})
            row["mask_shard"] = shard
            place = writer.add(f"m{number:02d}", "png", png((255 * mask).astype(np.uint8)), {})
            rows.append(row | {"mask_offset": place.offset, "mask_nbytes": place.nbytes})
    write_table(layout.split(TASK.key) / "split.parquet", pd.DataFrame(rows), SPLIT)
    layout.pretrained.mkdir(parents=True)
    card = EncoderCard(architecture=TINY, preprocessing=Preprocessing(size=32, resize=36))
    save_encoder(layout.pretrained, build_untrained_encoder(TINY, 0), card)
    layout.params.write_text(yaml.safe_dump({"finetune": {"segmentation": RECIPE}}))
    return layout


def given(layout: Layout, said: list[str]) -> Given:
    return given_for(TASK, layout, said.append)._replace(how=Resampling(replicates=100))


@pytest.mark.slow
def test_label_efficiency__of_masks_trains_a_network_a_draw_and_keeps_what_is_trained(layout: Layout) -> None:
    config = study_config("label_efficiency", layout, ("fractions=[0.2, 1.0]", "draws=2"))
    said: list[str] = []
    run_study("label_efficiency", config, given(layout, said))
    home = layout.study("label_efficiency") / TASK.key
    points = read_table(home / "points.parquet", POINTS)
    draws = points[points["arm"] == "single draws"]
    assert list(draws["name"]) == ["20%, draw 1", "20%, draw 2", "100%, draw 1", "100%, draw 2"]
    assert list(draws["n"]) == [4, 4, 20, 20]
    assert draws["value"].between(0, 1).all()
    assert draws[draws["level"] == 1.0]["low"].notna().all()
    assert draws[draws["level"] == 0.2]["low"].isna().all()
    assert "UperNet on shares of the training masks" in (home / "label_efficiency.md").read_text()
    before, again = (home / "points.parquet").read_bytes(), list[str]()
    run_study("label_efficiency", config, given(layout, again))
    assert again == ["share 20% is trained already", "share 100% is trained already"]
    assert (home / "points.parquet").read_bytes() == before
