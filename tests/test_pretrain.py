from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm import pretrain
from panderm.core.errors import InputError, Refused, TrainingFailed
from panderm.core.files import read_json, write_json
from panderm.core.record import Record
from panderm.core.tables import CORPUS, write_table
from panderm.imaging.shards import ShardWriter
from panderm.training.orphans import marked

ROOT = Path(__file__).parents[1]
RECIPE = {
    "encoder": {"image_size": 32, "patch_size": 8, "width": 32, "depth": 1},
    "regressor": {"width": 32, "heads": 3, "drop_path": 0.1},
    "drop_path": 0.1,
    "teacher": {"image_size": 32, "random": {"patch_size": 8, "width": 32, "layers": 1, "output_width": 16}},
    "optimisation": {"batch": 4, "epochs": 3},
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """``data`` with one shard of 16 drawn images, and ``corpus`` with its table."""
    deliver(tmp_path, 16)
    return tmp_path


def deliver(folder: Path, count: int) -> None:
    shard = folder / "data" / "one" / "shards" / "000000.tar"
    shard.parent.mkdir(parents=True, exist_ok=True)
    writer, rows, rng = ShardWriter(shard), [], np.random.default_rng(0)
    for index in range(count):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)).resize((40, 44)).save(stream, "PNG")
        position = writer.add(f"{index:02d}", "png", stream.getvalue(), {})
        rows.append({"dataset": "one", "image_id": f"{index:02d}", "modality": "tbp", "shard": "one/shards/000000.tar"})
        rows[-1] |= {"offset": position.offset, "nbytes": position.nbytes}
    writer.close()
    write_table(folder / "corpus" / "corpus.parquet", pd.DataFrame(rows), CORPUS)


def run(folder: Path, out: str = "out", work: str = "work", on_line: Callable[[str], None] = print, **settings: Any) -> Record:
    values = {"overrides": RECIPE, "device": "cpu", "threads": 1, "tell_seconds": 0} | settings
    return pretrain.run(
        pretrain.Config.parse(values), folder / "corpus", folder / "data", folder / out, folder / work, on_line=on_line
    )


def kill_at(step: int, work: Path) -> Callable[[str], None]:
    """Return a listener that kills every training process (not torchrun) with SIGKILL when ``step`` is told."""

    def listen(line: str) -> None:
        if line.startswith(f"step {step}/"):
            for pid in marked(work):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"pretrain_worker" in command and b"torch.distributed.run" not in command:
                    os.kill(pid, signal.SIGKILL)

    return listen


@pytest.mark.slow
def test_run__killed_and_run_again_ends_as_if_nothing_had_happened(workspace: Path) -> None:
    whole = run(workspace, "whole", "work-whole", workers=0)
    place = workspace / "work" / "pretrain"
    with pytest.raises(TrainingFailed, match="ended by SIGKILL"):
        run(workspace, state_steps=3, on_line=kill_at(8, place))
    assert not (workspace / "out").exists()
    assert read_json(sorted(place.glob("states/*/state.json"))[-1])["step"] in (3, 6)
    lines: list[str] = []
    again = run(workspace, on_line=lines.append)
    assert any(line.startswith("going on after step") for line in lines)
    assert again == whole
    for path in (workspace / "whole").iterdir():
        assert path.read_bytes() == (workspace / "out" / path.name).read_bytes(), path.name
    assert not (place / "states").exists()
    assert {path.name for path in (workspace / "out").iterdir()} == {
        "encoder.safetensors",
        "encoder.json",
        "regressor.safetensors",
        "metrics.jsonl",
        "curves.png",
        "record.json",
    }
    assert again.counts == {"steps": 12, "images_seen": 48, "corpus_images": 16}
    assert again.values["teacher"] == "random teacher: not clinically meaningful"
    before = (workspace / "out" / "record.json").stat().st_mtime_ns
    assert run(workspace, on_line=lines.append) == again
    assert lines[-1] == "the encoder already belongs to exactly this recipe and corpus; nothing to do"
    assert (workspace / "out" / "record.json").stat().st_mtime_ns == before


def interrupted(folder: Path, **changes: Any) -> Path:
    """Leave what an interrupted run leaves behind: its identity and a state."""
    config = pretrain.Config.parse({"overrides": RECIPE})
    recipe = pretrain._named(config.recipe())
    identity = {"recipe": recipe, "corpus_sha256": pretrain._corpus_sha256(folder / "corpus" / "corpus.parquet")} | changes
    place = folder / "work" / "pretrain"
    write_json(place / "identity.json", identity)
    (place / "states" / "00000003").mkdir(parents=True)
    return place


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the stage decide, but start nothing; returns the names of what it would have started."""
    started: list[str] = []

    def launch(module: str, *_args: object, **_kwargs: object) -> None:
        started.append(module)

    monkeypatch.setattr("panderm.training.launch.launch", launch)
    return started


def test_run__a_changed_recipe_is_refused_with_the_difference(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace)
    changed = RECIPE | {"optimisation": {"batch": 4, "epochs": 9}}
    with pytest.raises(Refused, match=r"other settings:\n  optimisation.epochs  3 -> 9\nset them back"):
        run(workspace, overrides=changed)
    assert (place / "states" / "00000003").is_dir()
    assert no_training == []


def test_run__restart_throws_the_old_state_away(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace)
    lines: list[str] = []
    with pytest.raises(TrainingFailed):  # nothing was trained in this test
        run(workspace, overrides=RECIPE | {"seed": 1}, restart=True, on_line=lines.append)
    assert lines[0].startswith("throwing away an interrupted training with other settings:\n  seed  0 -> 1")
    assert not (place / "states").exists()
    assert no_training == ["panderm.training.pretrain_worker"]


def test_run__restart_goes_on_with_its_own_state(workspace: Path, no_training: list[str]) -> None:
    """A retry of a run with ``restart`` must not lose what the first try has done."""
    place = interrupted(workspace)
    with pytest.raises(TrainingFailed):
        run(workspace, restart=True)
    assert no_training == ["panderm.training.pretrain_worker"]
    assert (place / "states" / "00000003").is_dir()


def test_run__another_corpus_sets_the_old_state_aside(workspace: Path, no_training: list[str]) -> None:
    place = interrupted(workspace, corpus_sha256="0" * 64)
    lines: list[str] = []
    with pytest.raises(TrainingFailed):
        run(workspace, on_line=lines.append)
    assert lines[0] == "an interrupted training on another corpus (00000000) was set aside in pretrain-interrupted/"
    assert (place.parent / "pretrain-interrupted" / "states" / "00000003").is_dir()
    assert not (place / "states").exists()
    assert no_training == ["panderm.training.pretrain_worker"]


def test_run__a_missing_corpus_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus.parquet is missing; run the stage"):
        run(tmp_path)


def test_run__a_missing_weights_file_is_refused_before_anything_starts(workspace: Path, no_training: list[str]) -> None:
    overrides = RECIPE | {"teacher": {"source": "ViT-B-16", "weights": "nowhere.safetensors", "image_size": 32}}
    with pytest.raises(InputError, match=r"weights nowhere.safetensors are missing; put the file there"):
        run(workspace, overrides=overrides)
    assert no_training == []
