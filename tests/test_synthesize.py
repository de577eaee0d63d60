from __future__ import annotations

from pathlib import Path

import pytest

from panderm import synthesize
from panderm.core.errors import InputError
from panderm.core.files import sha256_file
from panderm.readers.listing import list_files
from panderm.synthesize import Config, run

TINY = Config(scale="tiny", processes=1)


def hashes(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in list_files(folder)}


def test_run__same_seed_same_bytes_other_seed_others(tmp_path: Path) -> None:
    records = [run(TINY, ["mym"], tmp_path / name) for name in ("one", "two")]
    other = run(TINY.model_copy(update={"seed": 9}), ["mym"], tmp_path / "three")
    assert hashes(tmp_path / "one" / "mym") == hashes(tmp_path / "two" / "mym")
    assert records[0] == records[1]
    assert records[0].hashes != other.hashes
    assert records[0].counts["images"] > 20


def test_run__several_processes_write_the_same_bytes(tmp_path: Path) -> None:
    run(TINY, ["hop", "uah89k"], tmp_path / "one")
    run(TINY.model_copy(update={"processes": 2}), ["hop", "uah89k"], tmp_path / "two")
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_run__again_touches_nothing(tmp_path: Path) -> None:
    run(TINY, ["uah89k"], tmp_path)
    before = {name: (tmp_path / "uah89k" / name).stat().st_mtime_ns for name in list_files(tmp_path / "uah89k")}
    record = run(TINY, ["uah89k"], tmp_path)
    assert record.counts["written"] == 0
    assert before == {name: (tmp_path / "uah89k" / name).stat().st_mtime_ns for name in before}


def test_run__second_delivery_adds_and_another_scale_replaces(tmp_path: Path) -> None:
    run(TINY, ["uah89k"], tmp_path)
    first = hashes(tmp_path / "uah89k")
    run(TINY.model_copy(update={"delivery": 2}), ["uah89k"], tmp_path)
    both = hashes(tmp_path / "uah89k")
    assert {name for name in first if both[name] != first[name]} == {"tiles.csv"}
    assert len(both) > len(first)
    run(TINY, ["uah89k"], tmp_path)
    assert hashes(tmp_path / "uah89k") == first, "what belongs to no chosen delivery goes"


def test_run__broken_replaces_and_is_mended_by_the_next_run(tmp_path: Path) -> None:
    run(TINY, ["uah89k"], tmp_path)
    first = hashes(tmp_path / "uah89k")
    run(TINY.model_copy(update={"broken": ("uah89k",)}), ["uah89k"], tmp_path)
    assert "donor_id" not in (tmp_path / "uah89k" / "tiles.csv").read_text(encoding="utf-8")
    run(TINY, ["uah89k"], tmp_path)
    assert hashes(tmp_path / "uah89k") == first


def test_run__refuses_a_folder_with_anybody_elses_file(tmp_path: Path) -> None:
    (tmp_path / "mym").mkdir()
    (tmp_path / "mym" / "patient.jpg").write_bytes(b"real")
    with pytest.raises(InputError, match=r"holds 'patient.jpg', which is not a twin's file; move"):
        run(TINY, ["mym"], tmp_path)
    assert list_files(tmp_path / "mym") == ["patient.jpg"]


def test_run__refuses_a_file_that_was_changed(tmp_path: Path) -> None:
    run(TINY, ["uah89k"], tmp_path)
    (tmp_path / "uah89k" / "tiles.csv").write_text("image;donor_id\nreal.jpg;1\n")
    with pytest.raises(InputError, match=r"tiles.csv is no longer what the twin wrote"):
        run(TINY, ["uah89k"], tmp_path)


def test_run__a_killed_run_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(TINY, ["uah89k"], tmp_path / "whole")
    real, calls = synthesize.write_bytes, []

    def dies(target: Path, data: bytes) -> None:
        calls.append(target)
        if len(calls) == 9:
            (target.parent / f".aside-1-{target.name}").write_bytes(data[:10])  # what a kill leaves behind
            raise KeyboardInterrupt
        real(target, data)

    monkeypatch.setattr(synthesize, "write_bytes", dies)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, ["uah89k"], tmp_path / "killed")
    monkeypatch.setattr(synthesize, "write_bytes", real)
    run(TINY, ["uah89k"], tmp_path / "killed")
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_run__leaves_nothing_but_the_delivery_in_its_folder(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    run(TINY, ["edu2"], landing)
    assert sorted(path.name for path in landing.iterdir()) == [".synthetic", "edu2"]
    assert not [name for name in list_files(landing / "edu2") if "synthetic" in name or "receipt" in name]


def test_run__unwritable_landing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        run(TINY, ["mym"], tmp_path / "landing")
