from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from panderm.core.errors import InputError
from panderm.core.files import building_folder, read_json, recover_folder, remove_leftovers, write_json, write_text, writing


def test_writing__keeps_the_old_file_when_the_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="boom"), writing(target) as aside:
        aside.write_text("half")
        raise RuntimeError("boom")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.txt"]


def test_write_json__equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1, 2]})
    write_json(tmp_path / "b.json", {"a": [1, 2], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_writing__below_a_file_says_where_to_write_instead(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a folder you may write to"):
        write_text(tmp_path / "file" / "a.txt", "x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_writing__where_there_is_no_room_asks_for_it_and_keeps_the_old(tmp_path: Path, number: int) -> None:
    write_text(tmp_path / "a.txt", "old")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*a.txt \(No room\); make room there"), writing(tmp_path / "a.txt"):
        raise OSError(number, "No room")
    with pytest.raises(InputError, match=r"cannot write .*out \(No room\); make room there"), building_folder(tmp_path / "out"):
        raise OSError(number, "No room")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".dagster_home") == ["a.txt", "out"]


def test_writing__an_error_of_something_else_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "a.txt"):
        (tmp_path / "none").read_text()


def test_read_json__missing_and_damaged_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json is missing; run the stage that writes it first"):
        read_json(tmp_path / "none.json")
    verdict = tmp_path / "artifacts" / "tasks" / "ddi" / "verdict" / "verdict.json"
    with pytest.raises(InputError, match=r"verdict\.json is missing; run `panderm gate ddi` first"):
        read_json(verdict)
    write_text(verdict, "{")
    with pytest.raises(InputError, match=r"is not readable JSON .*; remove it and run `panderm gate ddi` again"):
        read_json(verdict)


def test_building_folder__replaces_whole_and_keeps_the_old_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with building_folder(target) as folder:
        (folder / "one").write_text("1")
    with pytest.raises(RuntimeError, match="boom"), building_folder(target) as folder:
        (folder / "two").write_text("2")
        raise RuntimeError("boom")
    assert [p.name for p in target.iterdir()] == ["one"]
    with building_folder(target) as folder:
        (folder / "three").write_text("3")
    assert [p.name for p in target.iterdir()] == ["three"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".aside-")]


def test_recover_folder__heals_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    former = tmp_path / ".aside-old-out"
    former.mkdir()
    (former / "kept").write_text("1")
    recover_folder(tmp_path / "out")
    assert (tmp_path / "out" / "kept").read_text() == "1"


def test_writing__killed_writer_leaves_no_target(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from panderm.core.files import writing
        with writing(Path(sys.argv[1])) as aside:
            aside.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.txt")], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.txt").exists()
    remove_leftovers(tmp_path)
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


class _FullStream(io.BytesIO):
    """A file on a disk whose room ends some way in."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 600:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_writing__a_full_disk_in_safetensors_own_words(tmp_path: Path) -> None:
    """As it says it on a full tmpfs; it renames into place, so no device can stand in for a full disk."""
    with pytest.raises(InputError, match=r"cannot write .*a \(No space left on device\); make room"), writing(tmp_path / "a"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(SafetensorError, match="os error 5"), writing(tmp_path / "a"):
        raise SafetensorError("Error while serializing: I/O error: Input/output error (os error 5)")


def test_writing__a_full_disk_in_torchs_own_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*a \(No space left on device\); make room"), writing(tmp_path / "a"):
        torch.save({"a": torch.zeros(100_000)}, _FullStream())


def test_building_folder__a_full_disk_under_another_file_names_that_file(tmp_path: Path) -> None:
    """An evaluation is built while alignments are kept in the work folder, which may be another disk."""
    with (
        pytest.raises(InputError, match=r"cannot write .*elsewhere/cache \(No space left on device\)"),
        building_folder(tmp_path / "out"),
        writing(tmp_path / "elsewhere" / "cache"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
