from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.reader_studies.answers import read_answers
from panderm.reader_studies.write import run_study

Examples = dict[int, pd.DataFrame]


def stored(frame: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "answers.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("study", [1, 2, 3])
def test_read_answers__csv_and_parquet_say_the_same(study: int, examples: Examples, tmp_path: Path) -> None:
    frame = examples[study].head(60)
    frame.to_parquet(tmp_path / "answers.parquet")
    one, two = read_answers(stored(frame, tmp_path), study), read_answers(tmp_path / "answers.parquet", study)
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert one.synthetic
    assert two.synthetic


@pytest.mark.parametrize(
    ("study", "column", "value", "said"),
    [
        (1, "answer", "melanom", r"row 3: 'answer' is 'melanom', allowed: benign, malignant"),
        (1, "time_point", "soon", r"row 3: 'time_point' is 'soon', allowed: numbers from 0"),
        (1, "reader", "", r"row 3: 'reader' is empty"),
        (2, "with_support", "melanoma", r"row 3: 'with_support' is 'melanoma', allowed: akiec, bcc"),
        (2, "entry_score", "70", r"row 3: 'entry_score' is '70', allowed: numbers from 0 to 1"),
        (2, "label", "", r"row 3: 'label' is empty; needed: akiec"),
        (3, "score_with", "5", r"row 3: 'score_with' is '5', allowed: whole numbers from 1 to 4"),
        (3, "top3_without", "0.5", r"row 3: 'top3_without' is '0.5', allowed: whole numbers from 0 to 1"),
    ],
)
def test_read_answers__a_wrong_cell_is_named(
    study: int, column: str, value: str, said: str, examples: Examples, tmp_path: Path
) -> None:
    frame = examples[study].head(10).astype(object)
    frame.loc[2, column] = value
    with pytest.raises(InputError, match=said):
        read_answers(stored(frame, tmp_path), study)


def test_read_answers__twice_changing_mixed_missing(examples: Examples, tmp_path: Path) -> None:
    frame = examples[2].head(10).astype(object)
    with pytest.raises(InputError, match=r"row 11: reader r00, image i\d+ was answered before"):
        read_answers(stored(pd.concat([frame, frame.head(1)]), tmp_path), 2)
    with pytest.raises(InputError, match=r"row 5: reader r00 has entry_score 0.99, but 0.\d+ above"):
        read_answers(stored(frame.assign(entry_score=frame["entry_score"].where(frame.index != 4, 0.99)), tmp_path), 2)
    with pytest.raises(InputError, match="mixes synthetic and real answers"):
        read_answers(stored(frame.assign(synthetic=[True] * 9 + [False]), tmp_path), 2)
    with pytest.raises(InputError, match="has no column 'label'; reader study 2 needs reader, entry_score"):
        read_answers(stored(frame.drop(columns="label"), tmp_path), 2)
    with pytest.raises(InputError, match="has no row"):
        read_answers(stored(frame.head(0), tmp_path), 2)
    with pytest.raises(InputError, match=r"none.csv is missing"):
        read_answers(tmp_path / "none.csv", 2)


def test_read_answers__without_the_column_they_are_real_and_words_in_any_case(examples: Examples, tmp_path: Path) -> None:
    frame = examples[1].head(8).drop(columns=["synthetic", "experience"])
    read = read_answers(stored(frame.assign(answer=frame["answer"].str.upper()), tmp_path), 1)
    assert not read.synthetic
    assert set(read.frame["answer"]) <= {"benign", "malignant"}
    assert read.frame["experience"].isna().all()


def test_read_answers__parquet_with_categories_says_the_same(examples: Examples, tmp_path: Path) -> None:
    plain, coded = tmp_path / "plain.parquet", tmp_path / "coded.parquet"
    examples[1].to_parquet(plain)
    examples[1].astype(dict.fromkeys(("reader", "kind", "experience", "label", "answer"), "category")).to_parquet(coded)
    pd.testing.assert_frame_equal(read_answers(plain, 1).frame, read_answers(coded, 1).frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [("label", "malignant"), ("label", "0.5"), ("probability", "high"), ("probability", ""), ("time_point", "x")],
)
def test_run_study__a_wrong_cell_of_the_model_is_named(name: str, value: str, examples: Examples, tmp_path: Path) -> None:
    people = examples[1][examples[1]["kind"] == "reader"]
    people.to_csv(tmp_path / "people.csv", index=False)
    model = people.drop_duplicates(["sequence", "time_point"])[["sequence", "time_point"]].assign(probability=0.5, label=1)
    model.astype(str).assign(**{name: value}).to_csv(tmp_path / "model.csv", index=False)
    with pytest.raises(InputError, match=rf"model\.csv, row 1: '{name}' is .*, allowed: .*; mend the row"):
        run_study(1, tmp_path / "people.csv", tmp_path / "out", model=tmp_path / "model.csv")
