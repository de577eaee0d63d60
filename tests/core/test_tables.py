from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.core.tables import CORPUS, MANIFEST, QUARANTINE, empty, read_table, write_table


def test_write_table__fills_absent_columns_and_is_byte_stable(tmp_path: Path) -> None:
    frame = pd.DataFrame({"dataset": ["mym"], "path": ["a.jpg"], "reason": ["truncated"]})
    write_table(tmp_path / "a.parquet", frame, QUARANTINE)
    write_table(tmp_path / "b.parquet", frame.copy(), QUARANTINE)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = read_table(tmp_path / "a.parquet", QUARANTINE)
    assert list(back.columns) == QUARANTINE.names
    assert back["detail"].isna().all()


def test_read_table__missing_damaged_or_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_table(tmp_path / "none.parquet", QUARANTINE)
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not a readable parquet file"):
        read_table(tmp_path / "bad.parquet", QUARANTINE)
    write_table(tmp_path / "q.parquet", empty(QUARANTINE), QUARANTINE)
    with pytest.raises(InputError, match="lacks column 'image_id'"):
        read_table(tmp_path / "q.parquet", CORPUS)


def test_read_table__damaged_pages_are_told_like_a_damaged_file(tmp_path: Path) -> None:
    """Where the damage is in the pages and not in the file's end, pyarrow raises OSError."""
    path = tmp_path / "q.parquet"
    write_table(path, pd.DataFrame({"dataset": ["mym"] * 100, "path": [f"{n * n}.jpg" for n in range(100)]}), QUARANTINE)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(200) + whole[204:])
    with pytest.raises(InputError, match=r"q\.parquet is not a readable parquet file"):
        read_table(path, QUARANTINE)


def test_read_table__a_whole_file_that_the_system_will_not_open_is_not_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "q.parquet"
    write_table(path, empty(QUARANTINE), QUARANTINE)

    def closed(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("panderm.core.tables.pq.read_table", closed)
    with pytest.raises(InputError, match=r"q\.parquet cannot be read \(Permission denied\)") as told:
        read_table(path, QUARANTINE)
    assert "remove it" not in str(told.value)


def test_read_table__a_column_of_another_type(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    frame = pd.DataFrame([dict.fromkeys(MANIFEST.names)]).assign(offset="x")
    frame.to_parquet(path)
    with pytest.raises(InputError, match="holds a column of another type"):
        read_table(path, MANIFEST)
