from __future__ import annotations

import pytest

from panderm.core.terms import (
    MARKS,
    NO_DERIVATIVES,
    NON_COMMERCIAL,
    OWNED,
    SHARE_ALIKE,
    SYNTHETIC,
    UNCLEAR,
    UNKNOWN,
    Input,
    Mark,
    joined,
    marked,
    marks,
    sentence,
)


def made_from(**licences: str) -> tuple[Input, ...]:
    return tuple(Input(name=name, licence=licence, images=1) for name, licence in licences.items())


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC-BY-NC-4.0", (NON_COMMERCIAL,)),
        ("CC BY-NC-ND 4.0", (NON_COMMERCIAL, NO_DERIVATIVES)),
        ("CC-BY-NC-SA-3.0 (annotations; images: see provider)", (NON_COMMERCIAL, SHARE_ALIKE, UNCLEAR)),
        ("Creative Commons Attribution-NonCommercial 4.0 International", (NON_COMMERCIAL,)),
        ("Stanford research use", (NON_COMMERCIAL,)),
        ("CC-BY-SA-4.0", (SHARE_ALIKE,)),
        ("in-house", (OWNED,)),
        ("CC0-1.0", ()),
        ("CC-BY-4.0", ()),
        ("CC-0", ()),  # as the ISIC archive writes, whose licences name no version
        ("CC-BY", ()),
        ("CC-BY-NC", (NON_COMMERCIAL,)),
        ("MIT", ()),
        (SYNTHETIC, ()),
        (UNKNOWN, (UNCLEAR,)),
        ("that of the imported weights", (UNCLEAR,)),
        ("CC-BY-4.0 or so", (UNCLEAR,)),
        ("free of charge", (UNCLEAR,)),
        ("", (UNCLEAR,)),
    ],
)
def test_marks__never_takes_unclear_terms_for_free(licence: str, said: tuple[Mark, ...]) -> None:
    assert marks(licence) == said


def test_marks__say_what_follows() -> None:
    assert all(mark.follows for mark in MARKS)


def test_sentence__the_worst_input_decides() -> None:
    worst_last = [("CC-BY-4.0", "No input forbids"), ("in-house", "only as the owners of the data agree: a1 (in-house)")]
    worst_last += [("GDC open access", "is not known, the terms are unclear: a2 (GDC open access)")]
    worst_last += [("CC-BY-NC-4.0", "May not be used commercially: a3 (CC-BY-NC-4.0).")]
    inputs: tuple[Input, ...] = ()
    for number, (licence, said) in enumerate(worst_last):
        inputs += made_from(**{f"a{number}": licence})
        assert said in sentence(inputs)


def test_sentence__of_nothing_known_is_not_free() -> None:
    assert "not known" in sentence(())
    assert sentence(made_from(mym=SYNTHETIC)).startswith("No terms apply")
    assert "No input forbids" in sentence(made_from(mym=SYNTHETIC, teacher="MIT"))


def test_sentence__names_inputs_of_the_same_terms_together() -> None:
    said = sentence(made_from(ham="CC-BY-NC-4.0", slice="CC-BY-NC-4.0", pad="CC-BY-4.0"))
    assert said == "May not be used commercially: ham, slice (CC-BY-NC-4.0)."


def test_joined__keeps_both_terms_of_one_name_and_the_larger_count() -> None:
    few, many = Input(name="mym", licence="in-house", images=3), Input(name="mym", licence="in-house", images=9)
    other = Input(name="mym", licence="CC-BY-4.0", images=1)
    assert joined((few,), (other, many)) == joined((many, few), (other,)) == (other, many)
    assert marked(joined((few, other)), OWNED) == (few,)
