from __future__ import annotations

import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.evaluation.first_correct import first_correct, found_by


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [("m1", 1, 0.2, 1), ("m1", 2, 0.7, 1), ("m1", 3, 0.1, 1), ("m2", 12, 0.9, 1), ("m2", 6, 0.5, 1)]
    rows += [("m3", 1, 0.1, 1), ("b1", 1, 0.9, 0)]
    return pd.DataFrame(rows, columns=["sequence", "time_point", "probability", "label"])


def test_first_correct__of_each_malignant_sequence_in_order_of_time(frame: pd.DataFrame) -> None:
    found = first_correct(frame).set_index("sequence")
    assert list(found.index) == ["m1", "m2", "m3"]  # a benign one has no malignant call to be right
    assert found["first"].tolist()[:2] == [2, 1]
    assert found.loc["m2", "time_point"] == 6  # its first image, though it stands second in the file
    assert pd.isna(found.loc["m3", "first"])
    assert found["images"].tolist() == [3, 2, 1]
    assert found_by(first_correct(frame), 3) == [1, 2, 2]


def test_first_correct__threshold_is_inclusive(frame: pd.DataFrame) -> None:
    assert found_by(first_correct(frame, threshold=0.8), 2) == [0, 1]
    assert found_by(first_correct(frame, threshold=0.1), 1) == [3]


def test_first_correct__bad_rows_are_named(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="'m1', time point 2: probability is nan"):
        first_correct(frame.assign(probability=frame["probability"].where(frame.index != 1)))
    with pytest.raises(InputError, match="sequence 'm1' has time point 1 twice"):
        first_correct(pd.concat([frame, frame.head(1)]))
    with pytest.raises(InputError, match="sequence 'm1' is malignant and benign"):
        first_correct(frame.assign(label=[1, 0, 1, 1, 1, 1, 0]))
    with pytest.raises(InputError, match="no column 'label'"):
        first_correct(frame.drop(columns="label"))
