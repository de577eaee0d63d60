"""Leave-one-modality-out and corpus size: what the arms are, and a real run of one study through the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from panderm import pretrain
from panderm.cli.main import cli
from panderm.core.errors import ConfigError, InputError
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.tables import CORPUS, write_table
from panderm.studies import corpus_size, encoders, modalities
from panderm.studies.encoders import Folders, Plan
from panderm.studies.names import ARMS

World = Callable[..., SimpleNamespace]
TINY = {
    "encoder": {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "heads": 2},
    "regressor": {"width": 16, "heads": 2},
    "teacher": {"source": "random", "image_size": 32, "random": {"patch_size": 8, "width": 16, "heads": 2, "output_width": 16}},
    "optimisation": {"batch": 8},
}
TRAINING = pretrain.Config.parse({"overrides": {"optimisation": {"epochs": 40, "warmup_epochs": 10, "batch": 8}}})
SIZES = {"dermoscopic": 60, "clinical": 30, "tbp": 10}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    rows = [(f"{name}-{n}", name, "mmt") for name, size in SIZES.items() for n in range(size)]
    table = pd.DataFrame(rows, columns=["image_id", "modality", "dataset"]).assign(patient_id=None)
    for module in (modalities, corpus_size):
        monkeypatch.setattr(module, "corpus_table", lambda _folders: table)
    return Folders(*(tmp_path / name for name in ("corpus", "data", "splits", "out", "work")))


def epochs(plan: Plan) -> dict[str, int]:
    return {one.folder: one.training.recipe().optimisation.epochs for one in plan.arms}


def test_modalities__one_arm_a_modality_held_shown_as_many_images(folders: Folders) -> None:
    plan = modalities.plan(modalities.Config(epochs=6), TRAINING, folders)
    assert [(one.folder, one.images) for one in plan.arms] == [
        ("whole", 100),
        ("without-tbp", 90),
        ("without-dermoscopic", 40),
        ("without-clinical", 70),
    ]
    assert epochs(plan) == {"whole": 6, "without-tbp": 7, "without-dermoscopic": 15, "without-clinical": 9}
    left = plan.arms[2].training.recipe()
    assert left.sampling.leave_out == ("dermoscopic",)
    assert left.optimisation.warmup_epochs == pytest.approx(15 * 10 / 40)
    assert {one.folder for one in plan.arms} < set(ARMS["modalities"])


def test_corpus_size__smaller_shares_are_passed_more_often_unless_epochs_are_held(folders: Folders) -> None:
    plan = corpus_size.plan(corpus_size.Config(epochs=4, fractions=(0.5, 0.1)), TRAINING, folders)
    assert [one.name for one in plan.arms] == ["10 %", "50 %", "100 %"]
    assert [one.images for one in plan.arms] == [10, 50, 100]
    assert epochs(plan) == {"10-percent": 40, "50-percent": 8, "100-percent": 4}
    held = corpus_size.plan(corpus_size.Config(epochs=4, fractions=(0.5,), hold="epochs"), TRAINING, folders)
    assert epochs(held) == {"50-percent": 4, "100-percent": 4}
    assert [one.folder for one in corpus_size.plan(corpus_size.Config(), TRAINING, folders).arms] == list(ARMS["corpus_size"])


def test_plans__depart_from_the_sampling_that_the_settings_name(folders: Folders) -> None:
    training = encoders.overridden(TRAINING, "sampling", {"leave_out": ["tbp"], "fraction": 0.5})
    left = modalities.plan(modalities.Config(), training, folders)
    assert [one.folder for one in left.arms] == ["whole", "without-dermoscopic", "without-clinical"]
    assert left.arms[1].training.recipe().sampling.leave_out == ("tbp", "dermoscopic")
    sized = corpus_size.plan(corpus_size.Config(fractions=(0.5,)), training, folders)
    assert [one.training.recipe().sampling.fraction for one in sized.arms] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (modalities, {"leave_out": ["skin"]}, "unknown modality in leave_out 'skin'; allowed: tbp, dermoscopic, clinical"),
        (corpus_size, {"fractions": [1.2]}, r"fractions holds 1\.2"),
        (corpus_size, {"fractions": [1.0]}, "fractions names no share but the whole corpus"),
    ],
)
def test_plans__refuse_in_one_sentence(folders: Folders, module: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module.plan(module.Config.parse(settings, where="study"), TRAINING, folders)


def test_plans__refuse_a_corpus_of_one_modality(folders: Folders) -> None:
    training = encoders.overridden(TRAINING, "sampling", {"leave_out": ["tbp", "clinical"]})
    with pytest.raises(ConfigError, match="the corpus holds one modality"):
        modalities.plan(modalities.Config(), training, folders)


def test_finished__needs_the_reference_and_another_arm(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = modalities.plan(modalities.Config(), TRAINING, folders)
    trained = {"without-tbp", "without-clinical"}

    def record(_config: object, _corpus: Path, out: Path) -> Record | None:
        return Record(stage="pretrain") if out.name in trained else None

    monkeypatch.setattr(pretrain, "finished", record)
    with pytest.raises(InputError, match="compares whole corpus with another, but trained are: without tbp, without clinical"):
        encoders.finished(plan, folders)
    trained.add("whole")
    assert list(encoders.finished(plan, folders)) == ["whole corpus", "without tbp", "without clinical"]
    with pytest.raises(InputError, match="unknown arm of study modalities 'none'; allowed: whole, without-tbp"):
        encoders.train(plan, "none", folders, [].append)


@pytest.mark.slow
def test_study__trains_an_encoder_an_arm_and_lays_them_side_by_side(make_task_world: World) -> None:
    world = make_task_world("ham10000", images=120)
    layout = Layout(world.root)
    rows = world.frame[["image_id", "shard", "offset", "nbytes"]].assign(
        dataset="mmt", modality=["dermoscopic", "clinical"] * 60, patient_id=None
    )
    write_table(layout.corpus / "corpus.parquet", rows.reindex(columns=CORPUS.names), CORPUS)
    layout.params.write_text(yaml.safe_dump({"pretrain": {"overrides": TINY}}))
    run = ["--workspace", str(world.root), "study", "modalities", "ham10000", "--set", "epochs=2", "--set", "images=90"]
    done = CliRunner().invoke(cli, run, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    home = layout.study("modalities")
    table = pd.read_parquet(home / "modalities.parquet").set_index(["arm", "method"])
    assert set(table.index.get_level_values(0)) == {"untrained", "whole corpus", "without dermoscopic", "without clinical"}
    whole, without = table.loc[("whole corpus", "linear")], table.loc[("without clinical", "linear")]
    assert whole.isna()["difference"]
    assert without["difference"] == pytest.approx(without["balanced_accuracy"] - whole["balanced_accuracy"])
    assert without["difference_low"] <= without["difference"] <= without["difference_high"]
    assert "without clinical: 60 images of the corpus" in (home / "modalities.md").read_text()
    assert (home / "modalities.png").stat().st_size > 5000
    again = CliRunner().invoke(cli, run, catch_exceptions=False)
    assert again.output.count("nothing to do") == 3, "finished runs are kept"
