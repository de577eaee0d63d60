"""release, serve, predict and rollback as a user types them, against a real Triton server."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panderm.cli.main import main
from panderm.core.errors import ServerError
from panderm.core.layout import Layout
from panderm.serving import server
from panderm.serving.client import Client, Prediction, Segmentation
from panderm.serving.environment import find_environment

MakeBundle = Callable[..., Path]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    monkeypatch.setenv("PANDERM_WORKSPACE", str(tmp_path))
    yield Layout(tmp_path)
    server.stop(Layout(tmp_path).work)


@pytest.fixture
def triton_is_set_up() -> None:
    try:
        find_environment()
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(stream, "PNG")
    path = tmp_path / "lesion.png"
    path.write_bytes(stream.getvalue())
    return path


@pytest.fixture
def panderm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(list(words))
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


Call = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("layout")
def test_release__without_a_bundle_is_one_sentence(panderm: Call) -> None:
    code, out, err = panderm("release", "ham10000")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "run `panderm export`" in err


def test_release__failing_verdict_exits_3(layout: Layout, panderm: Call, make_bundle: MakeBundle) -> None:
    make_bundle(outcome="fail", folder=layout.bundle("ham10000"))
    code, _, err = panderm("release", "ham10000")
    assert (code, len(err.splitlines())) == (3, 1)
    assert not layout.triton_repo.exists()


@pytest.mark.usefixtures("layout")
def test_rollback__unknown_task_lists_the_known(panderm: Call) -> None:
    code, _, err = panderm("rollback", "moles")
    assert code == 2
    assert "unknown task 'moles'" in err


@pytest.mark.usefixtures("layout")
def test_predict__without_a_server_exits_5(panderm: Call, image: Path) -> None:
    url = f"127.0.0.1:{server.free_ports(1)[0]}"
    code, out, err = panderm("predict", str(image), "--task", "ham10000", "--url", url)
    assert (code, out, len(err.splitlines())) == (5, "", 1)
    assert "start one with `panderm serve`" in err


@pytest.mark.usefixtures("layout")
def test_serve__status_without_a_server_exits_5(panderm: Call) -> None:
    assert panderm("serve", "--status")[0] == 5
    assert panderm("serve", "--stop") == (0, "no server ran\n", "")


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.usefixtures("triton_is_set_up")
def test_serve_predict__the_whole_way(layout: Layout, panderm: Call, make_bundle: MakeBundle, image: Path) -> None:
    make_bundle(seed=1, folder=layout.bundle("ham10000"))
    assert panderm("release", "ham10000")[0] == 0
    code, out, err = panderm("serve", "--detach")
    assert code == 0, err
    assert "ham10000: version 1" in out

    code, out, err = panderm("predict", str(image), "--task", "ham10000")
    assert code == 0, err
    assert "(ham10000 version 1)" in out
    assert all(f"  {label} " in out for label in ("akiec", "bcc", "mel", "nv"))

    code, out, err = panderm("predict", str(image), str(image), "--task", "ham10000", "--protocol", "http", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert [answer["version"] for answer in answers] == [1, 1]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)

    make_bundle("ham10000", seed=2, against=layout.triton_repo, folder=layout.artifacts / "second")
    assert panderm("release", "ham10000", "--bundle", str(layout.artifacts / "second"))[0] == 0
    assert "version 2)" in panderm("predict", str(image), "--task", "ham10000")[1]
    assert panderm("rollback", "ham10000")[0] == 0
    assert "version 1)" in panderm("predict", str(image), "--task", "ham10000")[1]

    for words, code, sentence in (
        (("--task", "moles"), 5, "unknown task 'moles'; allowed: ham10000"),
        (("--task", "ham10000", "--version", "2"), 5, "does not serve version 2 of 'ham10000'; it serves 1"),
    ):
        seen, _, err = panderm("predict", str(image), *words)
        assert seen == code
        assert sentence in err
    note = layout.root / "note.jpg"
    note.write_text("not an image")
    code, _, err = panderm("predict", str(note), "--task", "ham10000")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "note.jpg: the bytes are not an image" in err

    assert "stopped the server" in panderm("serve", "--stop")[1]
    assert panderm("serve", "--status")[0] == 5


def asked(monkeypatch: pytest.MonkeyPatch, answer: Prediction | Segmentation) -> None:
    """Let every image have this answer."""
    monkeypatch.setattr(Client, "ask", lambda *_: answer)


LESION = Segmentation("ham10000_seg", 1, "lesion", np.pad(np.ones((5, 5)), (2, 3)).astype(np.float32), 50, 50)


@pytest.mark.usefixtures("layout")
def test_predict__writes_masks_of_the_pictures_size(
    panderm: Call, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked(monkeypatch, LESION)
    code, out, err = panderm("predict", str(image), "--task", "ham10000_seg")
    assert (code, err) == (0, "")
    assert (
        out == f"{image}: lesion on 25.0% of the picture  (ham10000_seg version 1)\n  mask             masks/lesion_mask.png\n"
    )
    mask = np.asarray(Image.open(tmp_path / "masks" / "lesion_mask.png"))
    assert (mask.shape, set(np.unique(mask))) == ((50, 50), {0, 255})

    code, out, _ = panderm("predict", str(image), "--task", "ham10000_seg", "--out", "else", "--overlay", "--json")
    told = json.loads(out)
    assert (told["share"], told["mask"], told["overlay"]) == (0.25, "else/lesion_mask.png", "else/lesion_overlay.png")
    drawn = np.asarray(Image.open(tmp_path / "else" / "lesion_overlay.png")) != np.asarray(Image.open(image))
    assert drawn.any()
    assert not drawn[mask == 0].any(), "the outline is drawn inside the mask"


@pytest.mark.usefixtures("layout")
def test_predict__an_empty_mask_is_said_and_written(
    panderm: Call, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, Segmentation("ham10000_seg", 1, "lesion", np.zeros((8, 8), dtype=np.float32), 50, 50))
    code, out, _ = panderm("predict", str(image), "--task", "ham10000_seg", "--out", str(tmp_path))
    assert (code, out.splitlines()[0]) == (0, f"{image}: no lesion found  (ham10000_seg version 1)")
    assert not np.asarray(Image.open(tmp_path / "lesion_mask.png")).any()


@pytest.mark.usefixtures("layout")
def test_predict__options_of_masks_are_refused_for_a_classifier(
    panderm: Call, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, Prediction("ham10000", 1, ("mel", "nv"), (0.5, 0.5)))
    code, out, err = panderm("predict", str(image), "--task", "ham10000", "--overlay")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "'ham10000' answers class probabilities and no mask; leave --out and --overlay away" in err


@pytest.mark.usefixtures("layout")
def test_predict__two_masks_of_one_name_are_refused_before_one_is_written(
    panderm: Call, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, LESION)
    code, _, err = panderm(
        "predict", str(image), str(tmp_path / "other" / "lesion.jpg"), "--task", "ham10000_seg", "--out", str(tmp_path)
    )
    assert (code, len(err.splitlines())) == (2, 1)
    assert "would have one name" in err
    assert not (tmp_path / "lesion_mask.png").exists()


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.usefixtures("triton_is_set_up")
def test_serve_predict__a_mask_the_whole_way(layout: Layout, panderm: Call, make_bundle: MakeBundle, image: Path) -> None:
    make_bundle("ham10000_seg", seed=20, mask=True, folder=layout.bundle("ham10000_seg"))
    make_bundle("ham10000", folder=layout.bundle("ham10000"))
    assert panderm("release", "ham10000_seg")[0] == 0
    assert panderm("release", "ham10000")[0] == 0
    code, out, err = panderm("serve", "--detach")
    assert code == 0, err
    assert "ham10000_seg: version 1" in out
    words = ("--task", "ham10000_seg", "--out", str(layout.root / "masks"))
    for protocol in ("grpc", "http"):
        code, out, err = panderm("predict", str(image), *words, "--overlay", "--json", "--protocol", protocol)
        assert code == 0, err
        told = json.loads(out)
        assert (told["version"], told["label"], told["width"], told["height"]) == (1, "lesion", 50, 50)
        mask = np.asarray(Image.open(told["mask"]))
        assert (mask > 0).mean() == pytest.approx(told["share"])
        assert Image.open(told["overlay"]).size == (50, 50)
    assert "(ham10000 version 1)" in panderm("predict", str(image), "--task", "ham10000")[1]

    make_bundle("ham10000_seg", seed=25, mask=True, against=layout.triton_repo, folder=layout.artifacts / "second")
    assert panderm("release", "ham10000_seg", "--bundle", str(layout.artifacts / "second"))[0] == 0
    assert "version 2)" in panderm("predict", str(image), *words)[1]
    assert panderm("rollback", "ham10000_seg")[0] == 0
    assert "version 1)" in panderm("predict", str(image), *words)[1]


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.usefixtures("triton_is_set_up")
def test_serve__interrupted_leaves_no_process(layout: Layout) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "panderm", "serve"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert "Triton server: gRPC 127.0.0.1:" in process.stdout.readline()
    assert "nothing is released yet" in process.stdout.readline()
    found = server.running(layout.work)
    assert found is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert not found.alive
    assert server.running(layout.work) is None
    groups = [path.read_text().rsplit(")", 1)[1].split()[2] for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    assert str(found.pid) not in groups, "a process of the server's group still lives"
