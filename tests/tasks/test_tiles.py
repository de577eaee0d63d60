from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from panderm.catalog import benchmark
from panderm.core.errors import InputError
from panderm.tasks.tiles import MISSING, UNREADABLE, passing

TASK = benchmark("tbp_risk")
GOOD = {
    "majorAxisMM": 2.0,
    "deltaLBnorm": 4.5,
    "out_of_bounds_fraction": 0.25,
    "dnn_lesion_confidence": 50,
    "nevi_confidence": 80.1,
}


def rows(*changes: dict[str, Any]) -> pd.DataFrame:
    texts = [json.dumps({name: value for name, value in (GOOD | change).items() if value is not None}) for change in changes]
    return pd.DataFrame({"image_id": [f"i{n}" for n in range(len(texts))], "attributes": texts})


def test_passing__limits_are_the_paper_s_and_each_tile_is_counted_once() -> None:
    broken = [
        {"majorAxisMM": 1.99},
        {"deltaLBnorm": 4.49},
        {"out_of_bounds_fraction": 0.26},
        {"dnn_lesion_confidence": 49.9},
        {"nevi_confidence": 80.0},
        {"majorAxisMM": 1.0, "nevi_confidence": 1.0},
        {"deltaLBnorm": None, "majorAxisMM": 1.0},
    ]
    passes, left_out = passing(TASK, rows({}, *broken))
    assert list(passes) == [True] + [False] * 7
    assert left_out == {
        MISSING: 1,
        UNREADABLE: 0,
        "smaller_than_2_mm": 2,
        "contrast_below_4.5": 1,
        "beyond_the_body_by_over_0.25": 1,
        "lesion_confidence_below_50": 1,
        "nevus_confidence_not_above_80": 1,
    }


def test_passing__a_word_for_a_number_costs_its_tile_and_is_counted() -> None:
    passes, left_out = passing(TASK, rows({}, {"majorAxisMM": "unclear"}, {}))
    assert list(passes) == [True, False, True]
    assert {name: count for name, count in left_out.items() if count} == {UNREADABLE: 1}
    with pytest.raises(InputError, match=r"of its 2 tiles has majorAxisMM.*\(image i0 has majorAxisMM '2,5', but a num"):
        passing(TASK, rows({"majorAxisMM": "2,5"}, {"majorAxisMM": "3,1"}))
    both = {"majorAxisMM": "2,5", "nevi_confidence": "90,5"}
    with pytest.raises(InputError, match=r"has nevi_confidence.*\(image i0 has nevi_confidence '90,5', but a num"):
        passing(TASK, rows(both, both | {"majorAxisMM": 3.0}))


def test_passing__a_field_that_no_tile_has_or_no_tile_that_passes_is_one_sentence() -> None:
    with pytest.raises(InputError, match="tbp_risk: none of its 2 tiles has nevi_confidence"):
        passing(TASK, rows({"nevi_confidence": None}, {"nevi_confidence": None}))
    with pytest.raises(InputError, match=r"none of its 1 tiles passes the filter \(smaller_than_2_mm 1\)"):
        passing(TASK, rows({"majorAxisMM": 0.002}))
