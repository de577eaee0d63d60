"""What the twins of the tasks beyond the demo's promise besides their layouts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.catalog import BENCHMARKS, dataset
from panderm.imaging.preprocessing import decode
from panderm.readers import read
from panderm.twins.delivery import FURTHER, Photo, plan
from panderm.twins.further import further_shots
from panderm.twins.picture import Picture
from panderm.twins.shots import SCALES, TASKS
from panderm.twins.trouble import spoil


def rows_of(task: str, folder: Path) -> pd.DataFrame:
    """Return what the reader says of a task's twin, attributes as columns."""
    for path, content in plan(dataset(f"benchmarks/{task}"), 1, "demo").files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" if isinstance(content, Photo) else content)  # type: ignore[arg-type]
    rows = read(dataset(f"benchmarks/{task}"), folder).rows
    return rows.join(pd.DataFrame([json.loads(text) for text in rows["attributes"].fillna("{}")]), rsuffix="_measured")


def test_further__has_a_twin_for_every_task_that_can_be_read() -> None:
    assert set(FURTHER) | set(TASKS) == {row.key for row in BENCHMARKS if row.reader and row.kind != "slides"}


@pytest.mark.parametrize("task", FURTHER)
def test_further_shots__hold_every_label_at_every_scale(task: str) -> None:
    twin = FURTHER[task]
    for scale in SCALES:
        shots = further_shots(task, twin, 7, scale)
        assert {shot.label for shot in shots} == set(twin.counts)
        assert len({shot.name for shot in shots}) == len(shots)
    again = further_shots(task, twin, 7, "tiny")
    assert again == further_shots(task, twin, 7, "tiny") != further_shots(task, twin, 8, "tiny")
    later = further_shots(task, twin, 7, "tiny", 2)
    assert not {shot.name for shot in later} & {shot.name for shot in again}


@pytest.mark.parametrize(("one", "other"), [("mmt_09", "mmt_74"), ("tbp_risk", "tbp_screening")])
def test_plan__two_tasks_of_one_delivery_have_the_same_files(one: str, other: str) -> None:
    files = [plan(dataset(f"benchmarks/{task}"), 1, "tiny").files for task in (one, other)]
    assert files[0] == files[1]


def test_sequences__keep_the_skin_while_the_lesion_changes() -> None:
    shots = further_shots("sddi2", FURTHER["sddi2"], 1, "demo")
    pairs = [shots[place : place + 2] for place in range(0, len(shots), 2)]
    for first, second in pairs:
        assert first.lesion == second.lesion
        assert first.picture.subject == second.picture.subject
        assert (first.picture.shows != second.picture.shows) == (first.label == "changed")


def test_total_body__measures_cancers_as_larger_and_tells_few_of_them(tmp_path: Path) -> None:
    rows = rows_of("tbp_screening", tmp_path)
    cancers = rows["malignant"] == 1
    assert 0.1 < cancers.mean() < 0.3
    assert rows.loc[cancers, "label"].eq("high").all()
    for name in ("majorAxisMM", "norm_border", "color_std_mean"):
        assert rows.loc[cancers, name].median() > rows.loc[~cancers, name].median() + rows[name].std() / 2
    assert rows["majorAxisMM"].isna().any(), "a device leaves cells empty"
    assert rows["patient_id"].nunique() >= 10


def test_combinemel__times_follow_the_thickness(tmp_path: Path) -> None:
    rows = rows_of("combinemel", tmp_path)
    ill = rows["recurrence"] == 1
    assert ill.eq(rows["label"] != "control").all()
    assert rows.loc[ill, "rfi_months"].median() < rows.loc[~ill, "rfi_months"].median()
    assert np.log(rows.loc[ill, "breslow"]).mean() > np.log(rows.loc[~ill, "breslow"]).mean() + 0.5
    assert set(rows["stage"]) >= {"I", "II", "III"}
    assert rows["breslow"].isna().any()


def test_alpha__is_laid_on_white() -> None:
    picture = Picture("clinical", "bcc", "s", "v", size=(96, 72))
    data = spoil("alpha", picture)
    file = decode(data)
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    assert file.getpixel((2, 2)) == (255, 255, 255)
    assert file.getpixel((48, 36)) != (255, 255, 255)
