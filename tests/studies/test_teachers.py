from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from panderm import pretrain
from panderm.core.errors import ConfigError, InputError
from panderm.core.record import Record
from panderm.core.tables import SPLIT, write_table
from panderm.imaging.shards import ShardWriter
from panderm.models.encoder import EncoderCard, build_untrained_encoder, load_card, save_encoder
from panderm.models.teacher import TeacherConfig
from panderm.studies.encoders import Folders
from panderm.studies.teachers import Config, arm, run

STUDENT = {
    "encoder": {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "heads": 2},
    "regressor": {"width": 16, "heads": 2},
    "optimisation": {"epochs": 40, "warmup_epochs": 10},
}
TRAINING = pretrain.Config.parse({"overrides": STUDENT})
TWO = ("random", "random random.seed=1 random.patch_size=16")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Published images of one task in three colours, two of which tell the classes apart; test images cannot be read."""
    shard = tmp_path / "data" / "one" / "shards" / "000000.tar"
    shard.parent.mkdir(parents=True)
    writer, rows, rng = ShardWriter(shard), [], np.random.default_rng(0)
    for index in range(90):
        target = index % 3 % 2
        colour = np.array([200 - 90 * target, 120 + 60 * target, 100]) + rng.integers(-30, 30, 3)
        stream = io.BytesIO()
        Image.new("RGB", (36, 36), tuple(int(value) for value in colour)).save(stream, "PNG")
        place = writer.add(f"{index:02d}", "png", stream.getvalue(), {})
        split = ("train", "val", "test")[index // 3 % 3]
        rows.append({"image_id": f"{index:02d}", "split": split, "target": target, "label": "ab"[target]})
        rows[-1] |= {"shard": "nowhere.tar" if split == "test" else "one/shards/000000.tar", "stored_sha256": f"{index:064d}"}
        rows[-1] |= {"offset": place.offset, "nbytes": place.nbytes, "group": f"patient {index // 2}"}
    writer.close()
    write_table(tmp_path / "splits" / "ham10000" / "split.parquet", pd.DataFrame(rows), SPLIT)
    return Folders(tmp_path / "corpus", tmp_path / "data", tmp_path / "splits", tmp_path / "out", tmp_path / "work")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[pretrain.Config]:
    """Let pretrain.run write an encoder that follows from its teacher, without training; returns what it was asked for."""
    asked: list[pretrain.Config] = []

    def stand_in(config: pretrain.Config, *given: Path, **_further: Any) -> Record:
        recipe, out = config.recipe(), given[2]
        encoder = build_untrained_encoder(recipe.encoder, 7 + recipe.teacher.random.seed)
        out.mkdir(parents=True, exist_ok=True)
        card = EncoderCard(
            architecture=recipe.encoder,
            preprocessing=recipe.preprocessing,
            corpus_sha256="c" * 64,
            preset=config.preset,
            teacher="random teacher: not clinically meaningful",
            steps=1,
        )
        digest = save_encoder(out, encoder, card).sha256
        asked.append(config)
        return Record(stage="pretrain", hashes={"corpus": "c" * 64, "encoder": digest}, values={"teacher": card.teacher})

    monkeypatch.setattr(pretrain, "run", stand_in)
    return asked


def test_run__lays_encoders_of_one_recipe_side_by_side(folders: Folders, trained: list[pretrain.Config]) -> None:
    record = run(Config(teachers=TWO), TRAINING, folders, on_line=lambda _line: None)
    recipes = [config.recipe() for config in trained]
    assert [recipe.teacher.image_size for recipe in recipes] == [64, 64]
    assert [recipe.teacher.random.seed for recipe in recipes] == [0, 1]
    assert recipes[0].model_copy(update={"teacher": recipes[1].teacher}) == recipes[1]
    assert (recipes[0].optimisation.epochs, recipes[0].optimisation.warmup_epochs) == (4, 1.0)
    rows = pq.read_table(folders.out / "teachers.parquet").to_pandas()
    assert set(rows["arm"]) == {*TWO, "untrained"}
    assert set(rows["method"]) == {"knn", "linear"}
    assert rows["images"].unique().tolist() == [30]
    assert (rows["low"] <= rows["balanced_accuracy"]).all()
    assert rows[rows["method"] == "linear"]["balanced_accuracy"].min() > 0.8  # colours tell the classes apart
    assert record.counts == {"arms": 2, "tasks": 1}
    assert set(record.values["balanced_accuracy"]) == set(rows["arm"])
    assert Record.load(folders.out) == record
    page = (folders.out / "teachers.md").read_text()
    assert "random: random teacher: not clinically meaningful." in page
    assert page.count("\n| random") == 2
    assert (folders.out / "teachers.png").stat().st_size > 5000


@pytest.mark.usefixtures("trained")
def test_run__gives_the_same_bytes_again(folders: Folders) -> None:
    names = ("teachers.md", "teachers.parquet", "teachers.png", "record.json")
    once = None
    for _ in range(2):
        run(Config(teachers=TWO), TRAINING, folders, on_line=lambda _line: None)
        found = [(folders.out / name).read_bytes() for name in names]
        assert once in (None, found)
        once = found
    assert str(folders.out.parent) not in json.dumps(Record.load(folders.out).model_dump(mode="json"))


def test_run__untrained_is_what_every_run_begins_with(folders: Folders, trained: list[pretrain.Config]) -> None:
    from panderm.training.pretrain_worker import build_model

    run(Config(teachers=TWO), TRAINING, folders, on_line=lambda _line: None)
    start = build_model(trained[0].recipe(), 8).encoder
    folder = folders.out / "begin"
    folder.mkdir()
    card = load_card(folders.out / "runs" / "untrained")
    assert save_encoder(folder, start, card).sha256 == card.sha256


def resolved(spec: str, **overrides: Any) -> TeacherConfig:
    return arm(spec, pretrain.Config.parse({"preset": "small", "overrides": overrides})).training.recipe().teacher


def test_arm__takes_the_size_that_fits_unless_told() -> None:
    assert resolved("ViT-B-32-quickgelu@openai").image_size == 256
    assert resolved("random random.patch_size=14").image_size == 112
    assert resolved("random image_size=48").image_size == 48


def test_arm__is_what_it_says_also_where_that_is_a_default_or_the_preset_says_otherwise() -> None:
    other = {"teacher": {"source": "ViT-B-16-quickgelu@openai", "weights": "b16.pt"}}
    assert resolved("random", **other).weights is None
    assert resolved("random").random.width == 256  # the preset's
    assert resolved("random random.width=128").random.width == 128  # the default
    assert resolved("ViT-L-14-quickgelu@openai").source == "ViT-L-14-quickgelu@openai"


def test_arm__names_a_file_without_its_folder(tmp_path: Path) -> None:
    first = arm(f"ViT-B-16 weights={tmp_path}/b16.pt", TRAINING)
    assert first.name == "ViT-B-16 weights=b16.pt"
    assert first.training.recipe().teacher.weights == tmp_path / "b16.pt"
    assert arm("hf-hub:org/name image_size=224", TRAINING).name == "hf-hub:org/name image_size=224"


@pytest.mark.parametrize(
    ("teachers", "error", "message"),
    [
        (("random",), ConfigError, "at least two teachers"),
        (("random", "random"), ConfigError, "'random' is named twice"),
        (("random", "random seed=1"), ConfigError, "teacher 'random seed=1': unknown key 'seed'; allowed: source"),
        (("random", "RN50@openai"), InputError, "does not give one projected token a patch"),
        (("random", "ViT-Q@openai"), InputError, "unknown open_clip model 'ViT-Q'"),
        (("random", "ViT-B-32 weights=nowhere.pt"), InputError, "weights nowhere.pt are missing"),
    ],
)
def test_run__refuses_in_one_sentence_before_anything_trains(
    folders: Folders, trained: list[pretrain.Config], teachers: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(Config(teachers=teachers), TRAINING, folders, on_line=lambda _line: None)
    assert trained == []


@pytest.mark.usefixtures("trained")
def test_run__needs_a_task_that_can_be_probed(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no task with two classes in both its training and its validation split"):
        run(Config(teachers=TWO), TRAINING, folders._replace(splits=tmp_path / "none"), on_line=lambda _line: None)
