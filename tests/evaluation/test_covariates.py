from __future__ import annotations

import numpy as np
import pandas as pd

from panderm.evaluation.covariates import SCORE, design


def patients(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "score": np.linspace(0, 1, count),
            "age": np.linspace(30, 70, count),
            "breslow": np.linspace(0.5, 4, count),
            "ulceration": [0.0, 1.0] * (count // 2),
            "mitosis": [1.0, 2.0] * (count // 2),
            "sex": ["male", "female"] * (count // 2),
            "subtype": ["SSM"] * (count - 14) + ["NM"] * 10 + ["LMM"] * 3 + ["ALM"],
            "site": ["back"] * (count - 12) + ["arm"] * 6 + ["leg"] * 6,
        }
    )


def test_design__units_references_and_rare_values() -> None:
    made = design(patients(40))
    assert list(made.columns)[:5] == [SCORE, "age (10 years)", "Breslow (mm)", "ulceration", "mitoses (1/mm²)"]
    assert made.columns["age (10 years)"].iloc[0] == 3.0
    assert [name for name in made.columns if ":" in name] == ["sex: male", "subtype: NM", "site: other"]
    assert made.columns["site: other"].sum() == 12
    assert made.reference == {"sex": "female", "subtype": "SSM (with LMM, ALM)", "site": "back"}


def test_design__incomplete_patients_are_left_out_and_counted() -> None:
    frame = patients(40)
    frame.loc[:2, "breslow"] = np.nan
    frame.loc[2:3, "sex"] = None
    made = design(frame)
    assert made.used.sum() == 36
    assert (made.missing["breslow"], made.missing["sex"], made.missing["age"]) == (3, 2, 0)


def test_design__what_nobody_has_or_all_share_is_left_out_by_name() -> None:
    made = design(patients(40).assign(mitosis=np.nan, ulceration=1.0, site="back"))
    assert made.constant == ["ulceration", "mitoses (1/mm²)"]
    assert len(made.columns) == 40
    assert "ulceration" not in made.columns
