from __future__ import annotations

from pathlib import Path

import pytest

from panderm.core.errors import InputError
from panderm.core.record import Record


def test_record__round_trip(tmp_path: Path) -> None:
    record = Record(stage="ingest", key="mym", counts={"images": 3}, values={"note": "x"})
    record.save(tmp_path)
    assert Record.load(tmp_path) == record


def test_record__absent_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no record\.json; run `panderm pretrain` first"):
        Record.load(tmp_path / "artifacts" / "pretrain")
