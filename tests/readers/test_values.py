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
