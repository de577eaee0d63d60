from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from panderm.cli.main import main


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for number in range(4):
        path = tmp_path / "landing" / "edu1" / "Naevus" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        Image.effect_mandelbrot((64 + number, 64), (-2, -1.5, 1 - number / 10, 1.5), 50).save(stream, "JPEG")
        path.write_bytes(stream.getvalue())
    (tmp_path / "params.yaml").write_text("validate: {thresholds: {edu1: {min_images: 2}}}\n")
    return tmp_path


def panderm(capsys: pytest.CaptureFixture[str], workspace: Path, *args: str) -> tuple[int, str, str]:
    """Return exit code, what was said, and the error sentence."""
    code = 0
    try:
        main(["--workspace", str(workspace), *args])
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("panderm: ")]
    assert "Traceback" not in said.err
    return code, said.out, errors[-1] if errors else ""


def test_ingest_and_validate__publish_a_delivery(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = panderm(capsys, workspace, "ingest", "edu1")
    assert (code, out.splitlines()[0][:46]) == (0, "ingest edu1: 4 files_in_landing, 4 images, 0 k")
    code, out, _ = panderm(capsys, workspace, "validate", "edu1")
    assert code == 0
    assert "note" not in out
    assert (workspace / "data" / "edu1" / "manifest.parquet").is_file()


def test_validate__warnings_are_shown(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "landing" / "edu1" / "Naevus" / "torn.jpg").write_bytes(b"\xff\xd8 no more")
    panderm(capsys, workspace, "ingest", "edu1")
    code, out, _ = panderm(capsys, workspace, "validate", "edu1")
    assert code == 0
    assert "  note: usually in quarantine: 20.0%, expected at most 5% of the images" in out


def test_validate__broken_contract_exits_3_and_lets_the_others_go_on(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "landing" / "edu1").rename(workspace / "landing" / "edu2")
    panderm(capsys, workspace, "ingest", "edu2")
    (workspace / "landing" / "edu2").rename(workspace / "landing" / "edu1")
    panderm(capsys, workspace, "ingest", "edu1")
    code, _, sentence = panderm(capsys, workspace, "validate", "edu2", "edu1")
    assert code == 3
    assert "edu2 does not meet its contract (enough images: 4, expected at least 20); see " in sentence
    assert not (workspace / "data" / "edu2").exists()
    assert (workspace / "data" / "edu1" / "manifest.parquet").is_file()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("ingest", "nowhere"), "unknown source 'nowhere'; allowed: mym, hop"),
        (("ingest", "benchmarks/nowhere"), "unknown task 'nowhere'; allowed: ham10000"),
        (("ingest", "mym"), "landing/mym is missing; put mym's delivery there"),
        (("ingest", "edu1", "--set", "speed=9"), "unknown key 'speed'; allowed: workers"),
        (("ingest", "edu1", "--set", "jpeg_quality=101"), "'jpeg_quality' is 101, but input should be less than"),
        (("validate", "edu1"), "edu1 has no record.json; run `panderm ingest edu1` first"),
        (("ingest",), "Missing argument 'DATASET...'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_command__one_sentence_and_exit_2(
    workspace: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], sentence: str
) -> None:
    code, _, said = panderm(capsys, workspace, *args)
    assert code == 2
    assert sentence in said


def test_ingest__unwritable_staging(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / ".staging").write_text("a file where a folder has to be")
    code, _, said = panderm(capsys, workspace, "ingest", "edu1")
    assert (code, said[:22]) == (2, "panderm: cannot write ")
