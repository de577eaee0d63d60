from __future__ import annotations

import pandas as pd
import pytest

from panderm.reader_studies.example import example


@pytest.fixture(scope="session")
def examples() -> dict[int, pd.DataFrame]:
    return {study: example(study) for study in (1, 2, 3)}
