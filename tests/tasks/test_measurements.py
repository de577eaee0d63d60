from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm.tasks.measurements import NUMBERS, Encoding


def rows(*values: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [f"i{n}" for n in range(len(values))], "attributes": [json.dumps(v) for v in values]})


def test_encoding__medians_and_regions_are_those_of_training() -> None:
    made = Encoding.of(rows({"A": 1, "location_simple": "Head"}, {"A": 5, "location_simple": "back"}, {"A": 9}))
    assert len(NUMBERS) == 31
    assert made.medians["A"] == 5.0
    assert made.columns[-2:] == ("location_simple=back", "location_simple=head")
    assert "Aext" in made.never_measured
    assert "A" not in made.never_measured
    found = made.encode(rows({"A": 2, "location_simple": "HEAD"}, {"location_simple": "toe"}))
    assert found.values[:, 0].tolist() == [2.0, 5.0]
    assert found.values[:, -2:].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert found.missing.tolist() == [30, 31]
    assert np.isfinite(found.values).all()


def test_by_measurement__regions_are_summed() -> None:
    made = Encoding.of(rows({"A": 1, "location_simple": "head"}, {"location_simple": "back"}))
    added = made.by_measurement(np.arange(33.0)[None])
    assert added.shape == (1, 32)
    assert added[0, -1] == 31 + 32
    assert made.encode(rows({})).values.shape == (1, 33)


def test_encoding__survives_its_json() -> None:
    made = Encoding.of(rows({"A": 0.1 + 0.2}))
    assert Encoding.parse(json.loads(json.dumps(made.model_dump(mode="json")))) == made
    assert list(made.model_dump()["medians"]) == list(NUMBERS), "their order is the inputs'"
    assert made.medians["A"] == pytest.approx(0.3)
