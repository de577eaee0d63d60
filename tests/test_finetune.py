from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm import finetune
from panderm.core.errors import ConfigError, InputError, TrainingFailed
from panderm.core.files import sha256_file
from panderm.core.record import Record
from panderm.core.tables import SPLIT, write_table
from panderm.models.task_model import load_model_card, load_task_model
from panderm.training import finetune_worker

World = Callable[..., SimpleNamespace]
SMALL = {"epochs": 6, "warmup_epochs": 1, "batch": 12, "learning_rate": 3e-3, "mixup": 0.2, "cutmix": 0.0}


def run(world: SimpleNamespace, out: Path | None = None, **settings: Any) -> Record:
    config = finetune.Config.parse(settings)
    out = out or world.root / "model"
    return finetune.run(config, world.task, world.split, world.data, world.encoder, world.features, out, on_line=[].append)


def test_run__linear_probe_writes_a_model_that_answers(make_task_world: World) -> None:
    world = make_task_world("pad_ufes", images=90)
    record = run(world)
    folder = world.root / "model"
    assert {path.name for path in folder.iterdir()} == {"head.safetensors", "model.json", "curves.png", "record.json"}
    card = load_model_card(folder)
    assert (card.task, card.protocol, card.classes) == ("pad_ufes", "linear_probe", world.task.classes)
    assert record.hashes["model"] == sha256_file(folder / "model.json")
    assert record.values["train_accuracy"] > 0.6  # six classes
    model = load_task_model(folder, world.encoder)
    pixels = np.zeros((3, 3, 32, 32), dtype=np.uint8)
    np.testing.assert_allclose(model.probabilities(pixels).sum(axis=1), 1.0, atol=1e-6)


def test_run__same_inputs_same_bytes(make_task_world: World) -> None:
    world = make_task_world()
    run(world, world.root / "a", protocol="linear_probe")
    shutil.rmtree(world.features)
    run(world, world.root / "b", protocol="linear_probe")
    for path in (world.root / "a").iterdir():
        assert path.read_bytes() == (world.root / "b" / path.name).read_bytes(), path.name


def test_run__second_task_on_the_same_images_reads_no_image(make_task_world: World) -> None:
    world = make_task_world()
    run(world, protocol="linear_probe")
    shutil.rmtree(world.data)
    run(world, protocol="linear_probe", linear_probe={"penalty": "tuned"})


def test_run__settings_of_a_task_lie_over_the_rest(make_task_world: World) -> None:
    world = make_task_world()
    run(world, tasks={"isic2024": {"protocol": "linear_probe", "linear_probe": {"penalty": "paper"}}})
    assert load_model_card(world.root / "model").config["linear_probe"]["penalty"] == "paper"
    with pytest.raises(ConfigError, match=r"finetune\.tasks\.isic2024: unknown key 'epochs'"):
        run(world, tasks={"isic2024": {"epochs": 3}})


def test_run__one_class_in_training_is_refused(make_task_world: World) -> None:
    world = make_task_world()
    frame = world.frame[(world.frame["split"] != "train") | (world.frame["target"] == 0)]
    write_table(world.split / "split.parquet", frame, SPLIT)
    with pytest.raises(InputError, match="train split of isic2024 has only 'benign' in 18 images, but two classes"):
        run(world)


def test_run__unknown_label_is_refused(make_task_world: World) -> None:
    world = make_task_world()
    world.frame.loc[3, "label"] = "wart"
    write_table(world.split / "split.parquet", world.frame, SPLIT)
    with pytest.raises(InputError, match="unknown label for isic2024 'wart'; allowed: benign, malignant; image img0003"):
        run(world)


def test_run__missing_shard_is_refused(make_task_world: World) -> None:
    world = make_task_world()
    shutil.rmtree(world.data / "benchmarks")
    with pytest.raises(InputError, match=r"cannot be opened .* fetch it with `dvc pull`"):
        run(world, protocol="linear_probe")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the training process's code here: a launch costs seconds, and two tests below do without this."""

    monkeypatch.setattr("panderm.tasks.fine_tuning.launch", run_here)


def run_here(*arguments: Any) -> None:
    finetune_worker.run(arguments[1])


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_run__fine_tuning_learns_and_stands_without_the_encoder(make_task_world: World) -> None:
    world = make_task_world(images=120)
    record = run(world, fine_tuning=SMALL)
    folder = world.root / "model"
    assert {path.name for path in folder.iterdir()} == {"network.safetensors", "model.json", "curves.png", "record.json"}
    assert record.values["monitor"] == "auroc"
    assert record.values["score"] > 0.9
    assert len(record.values["history"]) == 6
    shutil.rmtree(world.encoder)
    answer = load_task_model(folder).probabilities(np.zeros((2, 3, 32, 32), dtype=np.uint8))
    assert answer.shape == (2, 2)


@pytest.mark.slow
def test_run__a_killed_fine_tuning_goes_on_to_the_same_bytes(make_task_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_task_world()
    settings = {"fine_tuning": SMALL, "threads": 1}
    with monkeypatch.context() as here:
        here.setattr("panderm.tasks.fine_tuning.launch", run_here)
        run(world, world.root / "whole", **settings)
    code = (
        "from pathlib import Path; from panderm import finetune; "
        "from panderm.catalog import benchmark; r = Path('.'); "
        f"finetune.run(finetune.Config.parse({settings!r}), benchmark('isic2024'), r / 'artifacts/splits/isic2024', "
        "r / 'data', r / 'artifacts/pretrain', r / '.work/features', r / 'killed')"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=world.root, stdout=subprocess.DEVNULL)
    states = world.root / ".work" / "finetune" / "isic2024" / "states"
    deadline = time.monotonic() + 60
    while not (states / "00000002" / "state.json").exists():
        assert time.monotonic() < deadline
        assert caller.poll() is None
        time.sleep(0.01)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert not (world.root / "killed").exists()
    said: list[str] = []
    finetune.run(
        finetune.Config.parse(settings),
        world.task,
        world.split,
        world.data,
        world.encoder,
        world.features,
        world.root / "killed",
        on_line=said.append,
    )
    assert any("going on after epoch" in line for line in said)
    for path in (world.root / "whole").iterdir():
        assert path.read_bytes() == (world.root / "killed" / path.name).read_bytes(), path.name
    assert not states.exists()


@pytest.mark.usefixtures("in_this_process")
def test_run__a_loss_that_is_no_number_stops(make_task_world: World) -> None:
    world = make_task_world()
    with pytest.raises(TrainingFailed, match=r"loss is no number any more in epoch \d; lower fine_tuning.learning_rate"):
        run(world, fine_tuning=SMALL | {"learning_rate": 1e30, "warmup_epochs": 0})
    assert not (world.root / "model").exists()


@pytest.mark.slow
def test_run__fine_tuning_without_validation_keeps_the_last_epoch(make_task_world: World) -> None:
    world = make_task_world()
    write_table(world.split / "split.parquet", pd.DataFrame(world.frame[world.frame["split"] != "val"]), SPLIT)
    record = run(world, processes=2, fine_tuning=SMALL | {"epochs": 2, "relative_position_bias": True})
    assert record.values["epoch"] == 2
    assert record.values["monitor"].startswith("none: the last epoch")
    assert load_task_model(world.root / "model").card.relative_position_bias


def test_run__an_imported_encoder_serves_and_passes_on_its_terms(make_task_world: World) -> None:
    from panderm.models.checkpoints.export import export_checkpoint
    from panderm.models.checkpoints.options import ImportOptions
    from panderm.models.checkpoints.write import import_checkpoint

    world = make_task_world()
    export_checkpoint(world.encoder, "timm", world.root / "vit.safetensors")
    options = ImportOptions(heads=2, licence="CC-BY-NC-ND-4.0")
    import_checkpoint(world.root / "vit.safetensors", world.root / "imported", options, say=[].append)
    world.encoder = world.root / "imported"
    run(world, protocol="linear_probe")
    card = load_model_card(world.root / "model")
    assert card.licence == "CC-BY-NC-ND-4.0"
    assert {(one.name, one.licence) for one in card.made_from} == {
        ("imported weights", "CC-BY-NC-ND-4.0"),
        ("benchmarks/isic2024", "CC-BY-NC-4.0"),
    }
    assert load_task_model(world.root / "model", world.encoder).head is not None
