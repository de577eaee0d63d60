from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from panderm.catalog import runnable_benchmarks
from panderm.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run the command line; return exit code, stdout, stderr."""
    code: object = 0
    try:
        main(list(args))
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    return int(str(code or 0)), said.out, said.err


def test_sources__prints_every_column_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "sources", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert len(rows) == 11
    assert list(rows[0])[:6] == ["key", "source", "modalities", "images_stated", "access", "remarks"]
    assert rows[3]["modalities"] == "dermoscopic, clinical"
    assert "193 participants" in run(capsys, "sources")[1]


def test_tasks__says_which_run(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "tasks", "--format", "json")[1])
    assert len(rows) == 28
    assert {row["key"] for row in rows if row["runs"] == "yes"} >= {"ham10000", "pad_ufes", "isic2024"}
    assert [row["key"] for row in rows if row["runs"] == "yes"] == [task.key for task in runnable_benchmarks()]
    table = run(capsys, "tasks")[1]
    assert all(str(row["key"]) in table for row in rows)
    assert len(json.loads(run(capsys, "tasks", "--runnable", "--format", "json")[1])) == len(runnable_benchmarks())


@pytest.mark.parametrize("width", ["40", "80", "200", "400"])
def test_table__fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    out = run(capsys, "sources")[1]
    assert max(map(len, out.splitlines())) <= max(int(width), 60)
    assert "Mind Your Moles" in out


def test_synthesize__writes_into_the_workspace(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "--workspace", str(tmp_path), "synthesize", "uah89k", "--scale", "tiny", "--trouble")
    assert code == 0
    assert "synthesize: 1 datasets" in out
    assert "uah89k: bomb: tiles/" in out
    assert (tmp_path / "landing" / "uah89k" / "tiles.csv").is_file()


def test_synthesize__writes_a_contact_sheet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    code, _, _ = run(capsys, "--workspace", str(tmp_path), "synthesize", "mym", "--scale", "tiny", "--sheet", str(target))
    assert code == 0
    assert Image.open(target).height < 200
    assert not (tmp_path / "landing").exists()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("nowhere",), "unknown source 'nowhere'; allowed: mym"),
        (("benchmarks/nowhere",), "unknown task 'nowhere'; allowed: ham10000"),
        (("mym", "--scale", "huge"), "synthesize: 'scale' is 'huge'"),
        (("mym", "--set", "seeed=3"), "unknown key 'seeed'; allowed: seed"),
        (("mym", "--broken", "hop"), "broken names 'hop'"),
        (("mym", "--delivery", "0"), "'delivery' is 0"),
        (
            ("benchmarks/ham10000", "--layout", "isic2019"),
            "layout of benchmarks/ham10000 'isic2019'; allowed: archive, isic2018",
        ),
        (("mym", "--layout", "archive"), "unknown layout of mym 'archive'; allowed: only its usual one"),
    ],
)
def test_synthesize__refuses_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, args: tuple[str, ...], sentence: str
) -> None:
    code, _, err = run(capsys, "--workspace", str(tmp_path), "synthesize", *args)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
