from __future__ import annotations

import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.tasks.attributes import attributes, numbers


def rows(*texts: str | None) -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": [f"i{n}" for n in range(len(texts))], "attributes": list(texts)}, index=range(7, 7 + len(texts))
    )


def test_attributes__missing_ones_are_null_and_the_index_is_the_rows() -> None:
    found = attributes(rows('{"stage": "II", "breslow": 1.5}', None, "{}"), ["stage", "breslow"])
    assert list(found.index) == [7, 8, 9]
    assert found["stage"].iloc[0] == "II"
    assert found.iloc[1:].isna().all(axis=None)
    assert numbers(rows('{"breslow": 1.5}', None), ["breslow"])["breslow"].tolist()[0] == 1.5


def test_numbers__a_word_names_its_image() -> None:
    with pytest.raises(InputError, match="image i1 has breslow 'thick', but a number is needed"):
        numbers(rows("{}", '{"breslow": "thick"}'), ["stage", "breslow"])


@pytest.mark.parametrize(("text", "seen"), [("{", "are not JSON"), ("[1]", "are a list, not values by name")])
def test_attributes__damaged_ones_name_their_image(text: str, seen: str) -> None:
    with pytest.raises(InputError, match=f"the attributes of image i0 {seen}"):
        attributes(rows(text), ["stage"])
