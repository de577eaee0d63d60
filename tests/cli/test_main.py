from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest

from panderm.cli import sources
from panderm.cli.main import main


def failing(error: OSError) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_main__a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    monkeypatch.setattr(sources, "command", failing(OSError(number, "No room", str(tmp_path / "a.tar"))))
    with pytest.raises(SystemExit) as end:
        main(["sources"])
    assert end.value.code == 2
    sentence = f"panderm: there is no room for {tmp_path / 'a.tar'} (No room); make room and run the same command again\n"
    assert capsys.readouterr().err == sentence


def test_main__no_access_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sources, "command", failing(PermissionError(errno.EACCES, "No access", str(tmp_path / "a.tar"))))
    with pytest.raises(SystemExit) as end:
        main(["sources"])
    assert end.value.code == 2
    sentence = f"panderm: no access to {tmp_path / 'a.tar'} (No access); grant it and run the same command again\n"
    assert capsys.readouterr().err == sentence


def test_main__another_error_of_the_system_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "command", failing(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        main(["sources"])
