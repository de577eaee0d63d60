from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from panderm.cli.main import cli
from panderm.core.errors import InputError
from panderm.core.files import read_json

PICTURES = {1: ["first_correct.png"], 2: ["support.png"], 3: ["condition_group.png", "specialty.png"]}


def ran(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["reader-study", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("study", [1, 2, 3])
def test_reader_study__from_the_example_to_tables_and_pictures_all_marked_synthetic(study: int, tmp_path: Path) -> None:
    answers, out = tmp_path / "answers.csv", tmp_path / "study"
    assert "synthetic answers" in ran("example", str(study), "--out", str(answers))
    text = ran(str(study), "--answers", str(answers), "--out", str(out), "--replicates", "100")
    assert "(synthetic example)" in text
    assert "nothing on this page is a result" in (out / "report.md").read_text()
    assert read_json(out / "results.json")["synthetic"] is True
    assert read_json(out / "record.json")["values"] == {"synthetic": True}
    tables = sorted(out.glob("*.parquet"))
    assert len(tables) == 2
    assert all(pd.read_parquet(path)["synthetic"].all() for path in tables)
    assert sorted(path.name for path in out.glob("*.png")) == PICTURES[study]


def test_reader_study__same_answers_same_bytes(tmp_path: Path) -> None:
    for number in (1, 2):
        ran("example", "2", "--out", str(tmp_path / f"{number}.csv"))
        ran("2", "--answers", str(tmp_path / f"{number}.csv"), "--out", str(tmp_path / str(number)), "--replicates", "100")
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_reader_study__real_answers_are_not_called_synthetic_and_the_model_may_come_apart(tmp_path: Path) -> None:
    answers, model, out = tmp_path / "a.csv", tmp_path / "m.csv", tmp_path / "out"
    ran("example", "1", "--out", str(answers))
    frame = pd.read_csv(answers).drop(columns="synthetic")
    theirs = frame[frame["kind"] == "model"]
    said = theirs.assign(
        probability=(theirs["answer"] == "malignant") * 0.9, label=(theirs["label"] == "malignant").astype(int)
    )
    said[["sequence", "time_point", "probability", "label"]].to_csv(model, index=False)
    frame[frame["kind"] == "reader"].to_csv(answers, index=False)
    text = ran("1", "--answers", str(answers), "--model", str(model), "--out", str(out), "--replicates", "100")
    assert "ynthetic example" not in text
    assert "of 89 melanomas malignant" in text


def test_reader_study__a_wrong_row_leaves_the_former_folder(tmp_path: Path) -> None:
    answers, out = tmp_path / "a.csv", tmp_path / "out"
    ran("example", "3", "--out", str(answers))
    out.mkdir()
    (out / "kept").write_text("")
    frame = pd.read_csv(answers)
    frame.loc[41, "score_with"] = 9
    frame.to_csv(answers, index=False)
    with pytest.raises(InputError, match=r"a.csv, row 42: 'score_with' is '9.*', allowed: whole numbers from 1 to 4"):
        ran("3", "--answers", str(answers), "--out", str(out))
    assert (out / "kept").is_file()
