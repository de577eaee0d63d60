"""The studies of one task each, on a tiny world: what they ask, what they refuse, what they leave."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from panderm.cli.main import cli
from panderm.core.errors import ConfigError, InputError
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.tables import SPLIT, read_table, write_table
from panderm.evaluation.figures import Resampling
from panderm.imaging.degrade import DEGRADATIONS, STRENGTHS, degrade
from panderm.studies import degradation, external, label_efficiency, subgroups
from panderm.studies.names import STUDIES
from panderm.studies.points import POINTS, Given, markdown
from panderm.studies.running import fitting_tasks, given_for, run_study, study_config

World = Callable[..., SimpleNamespace]
FEW = Resampling(replicates=100)


def given(world: SimpleNamespace) -> Given:
    return given_for(world.task, Layout(world.root), [].append)._replace(how=FEW)


@pytest.fixture
def train() -> pd.DataFrame:
    """Three classes, of 60, 30 and 10 images, two images a patient."""
    label = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    return pd.DataFrame({"label": label, "group": [f"p{n // 2:02d}" for n in range(100)]}, index=range(1000, 1100))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.5])
def test_labelled__keeps_whole_patients_and_every_class_in_its_share(train: pd.DataFrame, share: float) -> None:
    kept = train.loc[label_efficiency.labelled(train, share, seed=3)]
    assert (kept.groupby("group").size() == 2).all(), "a patient is cut in two"
    for name, size in (("a", 60), ("b", 30), ("c", 10)):
        assert share * size <= (kept["label"] == name).sum() < share * size + 2


def test_labelled__draws_are_nested_and_differ(train: pd.DataFrame) -> None:
    smaller, larger = (set(label_efficiency.labelled(train, share, seed=0)) for share in (0.2, 0.5))
    assert smaller < larger
    assert set(label_efficiency.labelled(train, 0.2, seed=1)) != smaller
    assert set(label_efficiency.labelled(train, 1.0, seed=1)) == set(train.index)


def test_label_efficiency__all_labels_beat_few_and_the_band_holds_the_draws(make_task_world: World) -> None:
    world = make_task_world(images=240)
    config = label_efficiency.Config(fractions=(0.1, 1.0), draws=3)
    record = run_study("label_efficiency", config, given(world))
    home = Layout(world.root).study("label_efficiency") / world.task.key
    points = read_table(home / "points.parquet", POINTS)
    means, draws = (points[points["arm"] == arm] for arm in ("mean of draws", "single draws"))
    assert list(means["level"]) == [0.1, 1.0]
    few = draws[draws["level"] == 0.1]["value"]
    assert len(few) == 3
    assert means["value"].iloc[0] == pytest.approx(few.mean())
    assert (means["low"].iloc[0], means["high"].iloc[0]) == (few.min(), few.max())
    assert means["value"].iloc[1] > means["value"].iloc[0]
    assert draws["low"].iloc[-1] < draws["value"].iloc[-1], "all labels have an interval over test patients"
    assert (home / "picture.png").stat().st_size > 5000
    assert record.counts == {"points": 6, "arms": 2}
    assert not list(Path(home).glob("*.aside*"))


def test_label_efficiency__a_share_that_is_none_is_refused(make_task_world: World) -> None:
    with pytest.raises(ConfigError, match=r"fractions holds 1\.5, but a share of the labels is above 0 and at most 1"):
        label_efficiency.run(label_efficiency.Config(fractions=(1.5,)), given(make_task_world(images=30)))


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_degrade__each_strength_is_farther_from_the_image_than_the_one_before(kind: degradation.Degradation) -> None:
    rng = np.random.default_rng(1)
    patches = np.kron(rng.integers(60, 190, size=(3, 18, 18)), np.ones((1, 7, 7)))
    image = (patches + rng.integers(-10, 10, size=patches.shape)).astype(np.uint8)
    worse = [degrade(image, kind, strength, np.random.default_rng(0)) for strength in range(STRENGTHS + 1)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in worse)
    distances = [np.abs(one.astype(float) - image).mean() for one in worse]
    assert distances[0] == 0
    assert all(left < right for left, right in itertools.pairwise(distances))


def test_some_groups__takes_whole_patients_up_to_the_limit() -> None:
    frame = pd.DataFrame({"group": [f"p{n // 4}" for n in range(40)], "label": ["a", "b"] * 20})
    chosen = degradation.some_groups(frame, 18, seed=0)
    assert len(chosen) == 16
    assert (chosen.groupby("group").size() == 4).all()
    assert degradation.some_groups(frame, 40, seed=0) is frame


@pytest.mark.parametrize("seed", range(5))
def test_some_groups__has_a_patient_of_each_class_whatever_the_patients_size(seed: int) -> None:
    frame = pd.DataFrame({"group": ["p0"] * 60 + ["p1"] * 50 + [f"q{n}" for n in range(90)], "label": "a"})
    frame.loc[frame["group"] == "p1", "label"] = "b"
    frame.loc[frame["group"] == "q7", "label"] = "rare"
    chosen = degradation.some_groups(frame, 40, seed)
    assert set(chosen["label"]) == {"a", "b", "rare"}
    assert {"p1", "q7"} <= set(chosen["group"])
    assert all((frame["group"] == name).sum() == (chosen["group"] == name).sum() for name in chosen["group"].unique())


def test_degradation_and_subgroups__of_a_task_through_the_command(make_task_world: World) -> None:
    world = make_task_world("ham10000", images=210)
    layout = Layout(world.root)
    assert fitting_tasks("degradation", layout) == [], "no model yet"
    for arguments in (["finetune", world.task.key, "--set", "protocol=linear_probe"], ["evaluate", world.task.key]):
        done = CliRunner().invoke(cli, ["--workspace", str(world.root), *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    run = ["study", "degradation", "--replicates", "100", "--set", "kinds=[dark, blur]"]
    done = CliRunner().invoke(cli, ["--workspace", str(world.root), *run], catch_exceptions=False)
    assert "degradation ham10000: 12 points, 2 arms" in done.output
    points = read_table(layout.study("degradation") / "ham10000" / "points.parquet", POINTS).set_index("name")
    clean = points[points["level"] == 0]["value"]
    assert clean.nunique() == 1
    assert points.loc["dark 5", "value"] < clean.iloc[0] - 0.1, "colour tells the classes of this world"
    assert (layout.study("degradation") / "ham10000" / "examples.png").is_file()
    run_study("subgroups", subgroups.Config(), given(world))
    found = read_table(layout.study("subgroups") / "ham10000" / "points.parquet", POINTS).set_index("name")
    predictions = pd.read_parquet(layout.evaluation("ham10000") / "predictions.parquet")
    assert found.loc["all", "value"] == pytest.approx(clean.iloc[0], abs=1e-6)
    assert found.loc["site: back", "n"] + found.loc["site: face", "n"] == len(predictions)
    few = found.drop(index="all")[lambda rows: rows["groups"] < 15]
    assert len(few)
    assert few["low"].isna().all()


def renamed(world: SimpleNamespace, prefix: str, keep: int = 0) -> None:
    """Give a world's patients names of their own, but for the first ``keep``."""
    frame = read_table(world.split / "split.parquet", SPLIT)
    names = {name: name if n < keep else f"{prefix}{name}" for n, name in enumerate(sorted(frame["group"].unique()))}
    write_table(world.split / "split.parquet", frame.assign(group=frame["group"].map(names)), SPLIT)


def test_external__judges_elsewhere_without_those_who_were_fitted_on(make_task_world: World) -> None:
    here, there = make_task_world("ham10000", images=210), make_task_world("derm7pt_d", images=60, seed=1)
    renamed(there, "other-", keep=4)
    told = external.run(external.Config(), given(here))
    assert [point.name for point in told.points] == ["ham10000 (test split)", "derm7pt_d"]
    fitted = set(here.frame[here.frame["split"] != "test"]["group"])
    shared = sum(name in fitted for name in sorted(there.frame["group"].unique())[:4])
    assert shared > 0
    assert told.points[1].n == 60 - 3 * shared
    assert told.points[1].note == f"{3 * shared} images of patients or lesions that were fitted on left out"
    assert told.points[0].value > 0.8


def test_external__every_class_of_melanoma_counts(make_task_world: World) -> None:
    here, there = make_task_world("ham10000", images=210), make_task_world("fitzpatrick17k", images=345, seed=1)
    renamed(there, "other-")
    told = external.run(external.Config(elsewhere=("fitzpatrick17k",)), given(here))
    assert told.points[1].n == 345
    target = external.melanomas(there.task, there.frame)
    names = ["lentigo maligna", "malignant melanoma", "melanoma", "superficial spreading melanoma ssm"]
    assert sorted(there.frame["label"][target == 1].unique()) == names
    assert target.sum() == 12


def test_external__refuses_what_has_no_melanoma_and_an_empty_elsewhere(make_task_world: World) -> None:
    with pytest.raises(InputError, match="isic2024 has no melanoma class to take elsewhere; allowed: ham10000"):
        external.run(external.Config(), given(make_task_world("isic2024", images=30)))
    world = make_task_world("ham10000", images=42)
    with pytest.raises(InputError, match="no other task with melanomas has data"):
        external.run(external.Config(), given(world))
    with pytest.raises(InputError, match="study external is not for isic2024; it is for ham10000"):
        run_study("external", external.Config(), given(make_task_world("isic2024", images=30)))


def test_study_config__reads_params_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.params.write_text("studies:\n  label_efficiency: {draws: 2}\n")
    config = study_config("label_efficiency", layout, ("seed=7",))
    assert isinstance(config, label_efficiency.Config)
    assert (config.draws, config.seed) == (2, 7)
    with pytest.raises(ConfigError, match="study label_efficiency: unknown key 'drwas'; allowed: fractions, draws, seed"):
        study_config("label_efficiency", layout, ("drwas=7",))
    with pytest.raises(InputError, match="unknown study 'labels'; allowed: " + ", ".join(STUDIES)):
        study_config("labels", layout)


def test_markdown__says_so_where_the_images_are_a_programs(make_task_world: World) -> None:
    world = make_task_world(images=30)
    home = Layout(world.root).published(f"benchmarks/{world.task.key}")
    Record(stage="validate", values={"synthetic": True}).save(home)
    assert given(world).named == "isic2024 (synthetic twin)"
    told = label_efficiency.run(label_efficiency.Config(fractions=(1.0,)), given(world))
    assert "**Synthetic twin**" in markdown(told, synthetic=given(world).synthetic)
