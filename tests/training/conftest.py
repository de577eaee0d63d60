"""Small training processes, corpora and recipes for the tests of this folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.core.tables import CORPUS, write_table
from panderm.imaging.shards import ShardWriter
from panderm.training.recipe import Recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def toy_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write ``toy.py`` with the given body of ``run(config)``; return the name to launch it by."""

    def write(body: str) -> str:
        lines = "\n".join("    " + line for line in body.splitlines())
        (tmp_path / "toy.py").write_text(
            "import os, signal, sys, time\nfrom pathlib import Path\n"
            "from panderm.core.errors import InputError\nfrom panderm.training.launch import TrainingStopped, worker_main\n"
            f"def run(config):\n{lines}\nif __name__ == '__main__':\n    worker_main(run)\n"
        )
        return "toy"

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return write


def _draw_corpus(folder: Path) -> Path:
    """Write 24 drawn PNGs in two shards with their corpus table: ``<folder>/data`` and ``<folder>/corpus``."""
    rng = np.random.default_rng(0)
    rows = []
    for number, dataset in enumerate(("one", "two")):
        shard = folder / "data" / dataset / "shards" / "000000.tar"
        shard.parent.mkdir(parents=True)
        writer = ShardWriter(shard)
        for index in range(12):
            stream = io.BytesIO()
            colours = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            Image.fromarray(colours).resize((40 + index, 48), Image.Resampling.BILINEAR).save(stream, "PNG")
            position = writer.add(f"{index:02d}", "png", stream.getvalue(), {})
            rows.append({"dataset": dataset, "image_id": f"{index:02d}", "modality": ("tbp", "clinical")[number]})
            rows[-1] |= {"shard": f"{dataset}/shards/000000.tar", "offset": position.offset, "nbytes": position.nbytes}
        writer.close()
    write_table(folder / "corpus" / "corpus.parquet", pd.DataFrame(rows), CORPUS)
    return folder


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> Path:
    """The test's own small corpus: ``<folder>/data`` and ``<folder>/corpus``."""
    return _draw_corpus(tmp_path)


@pytest.fixture(scope="session")
def shared_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for tests that share what they make from it."""
    return _draw_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """A recipe that takes a few milliseconds a step; its 20 steps are 5 of each of 4 epochs."""
    return Recipe.parse(
        {
            "encoder": {"image_size": 32, "patch_size": 8, "width": 32, "depth": 2, "heads": 4},
            "regressor": {"width": 32, "depth": 1, "heads": 3},
            "teacher": {"source": "random", "image_size": 32, "random": {"patch_size": 8, "width": 32, "output_width": 24}},
            "optimisation": {"batch": 4, "epochs": 4, "warmup_epochs": 1, "learning_rate": 2e-3},
        }
    )
