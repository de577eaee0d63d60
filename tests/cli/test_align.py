from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from panderm.cli.main import main
from panderm.twins.picture import Picture, draw


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name, subject, view in (("early", "mole", "1"), ("late", "mole", "2"), ("other", "somebody else's", "1")):
        made[name] = tmp_path / f"{name}.png"
        draw(Picture("dermoscopic", "nv", subject, view, 1, 1, (224, 168))).save(made[name])
    (tmp_path / "text.jpg").write_text("no image")
    return made | {"text": tmp_path / "text.jpg"}


def align(photos: dict[str, Path], first: str, second: str, out: Path, *more: str) -> int:
    try:
        main(["align", str(photos[first]), str(photos[second]), "--out", str(out), "--set", "side=256", *more])
    except SystemExit as stop:
        return int(str(stop.code))
    return 0


def test_align__writes_pictures_of_every_step(
    photos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align(photos, "early", "late", tmp_path / "out") == 0
    assert "matched points agree on a turn of" in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "b_4_registered.png").size == Image.open(tmp_path / "out" / "a_1_original.png").size


@pytest.mark.parametrize(
    ("second", "more", "sentence"),
    [
        ("other", (), "no registration between .*early.png and .*other.png: .* points agree on one movement, 8 are needed"),
        ("text", (), "text.jpg cannot be read: the bytes are not an image"),
        ("late", ("--set", "trails=3"), "align settings: unknown key 'trails'"),
    ],
)
def test_align__refuses_in_one_sentence(
    photos: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    second: str,
    more: tuple[str, ...],
    sentence: str,
) -> None:
    import re

    assert align(photos, "early", second, tmp_path / "out", *more) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(sentence, said)
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
