from __future__ import annotations

import math

import pandas as pd
import pytest

from panderm.readers import values


@pytest.mark.parametrize(
    ("delivered", "years"),
    [("45", 45.0), (" 45.0 ", 45.0), ("85+", 85.0), ("0", 0.0), ("-3", None), ("430", None), ("NaN", None), ("forty", None)],
)
def test_age__is_years_or_null(delivered: str, years: float | None) -> None:
    found = values.age(pd.Series([delivered])).iloc[0]
    assert math.isnan(found) if years is None else found == years


@pytest.mark.parametrize(
    ("delivered", "sex"), [("FEMALE", "female"), (" m ", "male"), ("unknown", None), ("", None), ("3", None)]
)
def test_sex__is_one_of_two_words_or_null(delivered: str, sex: str | None) -> None:
    found = values.sex(pd.Series([delivered])).iloc[0]
    assert pd.isna(found) if sex is None else found == sex


@pytest.mark.parametrize(
    ("delivered", "expected"), [("2.0", "II"), ("6", "VI"), ("iv", "IV"), ("Type III", "III"), ("FST 1", "I"), ("0.0", None)]
)
def test_skin_type__is_a_roman_number_or_null(delivered: str, expected: str | None) -> None:
    found = values.skin_type(pd.Series([delivered])).iloc[0]
    assert pd.isna(found) if expected is None else found == expected


def test_label__takes_the_spelling_of_the_task() -> None:
    found = values.label(pd.Series(["NV", " mel ", "Wart", ""]), ("mel", "nv"))
    assert list(found[:3]) == ["nv", "mel", "Wart"]
    assert pd.isna(found[3])


def test_identifier__undoes_a_spreadsheet() -> None:
    assert list(values.identifier(pd.Series(["1754.0", "PAT_1", "1.50"]))) == ["1754", "PAT_1", "1.50"]


def test_image_id__stays_or_becomes_safe_and_unlike_any_other() -> None:
    assert values.image_id("ISIC_0024312", "x/ISIC_0024312.jpg") == "ISIC_0024312"
    first, second = values.image_id("a b", "a b.jpg"), values.image_id("a/b", "a/b.jpg")
    assert first.startswith("a_b-")
    assert second.startswith("a_b-")
    assert first != second
    assert "." not in values.image_id("scan.2020.01", "scan.2020.01.jpg")


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [
        ("3,5", 3.5),
        (" -2.25 ", -2.25),
        ("1e3", 1000.0),
        ("NaN", None),
        ("", None),
        ("inf", None),
        ("1,234.5", None),
        ("x", None),
    ],
)
def test_number__is_finite_or_null(delivered: str, expected: float | None) -> None:
    found = values.number(pd.Series([delivered])).iloc[0]
    assert math.isnan(found) if expected is None else found == expected


@pytest.mark.parametrize(
    ("delivered", "expected"), [("Yes", 1), ("TRUE", 1), ("X", 1), ("absent", 0), ("0.0", 0), ("maybe", None)]
)
def test_yes_no__is_one_zero_or_null(delivered: str, expected: int | None) -> None:
    found = values.yes_no(pd.Series([delivered])).iloc[0]
    assert pd.isna(found) if expected is None else found == expected


def test_skin_type__takes_pairs_where_a_source_tells_no_more() -> None:
    assert list(values.skin_type(pd.Series(["12", "34.0", "V-VI"]))) == ["I-II", "III-IV", "V-VI"]


def test_split__keeps_words_that_are_none_so_that_they_can_be_refused() -> None:
    assert list(values.split(pd.Series(["Training", "valid", "TEST", "holdout"]))) == ["train", "val", "test", "holdout"]
