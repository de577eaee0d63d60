from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from panderm.cli.main import main

World = Callable[..., SimpleNamespace]


def call(*args: str) -> int:
    try:
        main(list(args))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_finetune_then_evaluate__print_what_they_made(
    make_task_world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_task_world(images=60)
    monkeypatch.setenv("PANDERM_WORKSPACE", str(world.root))
    assert call("finetune", "isic2024", "--protocol", "linear_probe", "--set", "linear_probe.max_iter=20") == 0
    assert call("evaluate", "isic2024", "--set", "replicates=100") == 0
    said = capsys.readouterr().out
    assert "finetune isic2024: 36 train, 12 val" in said
    assert "evaluate isic2024: 12 images, 4 groups" in said
    assert "metric: auroc" in said
    assert (world.root / "artifacts" / "tasks" / "isic2024" / "evaluation" / "report.json").is_file()


def test_finetune__asked_to_stop_before_a_training_runs_ends_in_order(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from panderm import finetune

    def asked_to_stop(*_args: object, **_kwargs: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    former = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("PANDERM_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
    monkeypatch.setattr(finetune, "run", asked_to_stop)
    assert call("finetune", "ham10000") == 0
    assert "panderm: the command was asked to stop while no training ran; run it again to go on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == former


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("finetune", "ham10001"), "unknown task 'ham10001'; allowed: ham10000,"),
        (("finetune", "ham10000", "--set", "fine_tuning.epoch=3"), "unknown key 'fine_tuning.epoch'"),
        (("finetune", "ham10000"), "split.parquet is missing; run `panderm curate` first"),
        (("evaluate", "ham10000"), "split.parquet is missing; run `panderm curate` first"),
        (("evaluate", "ham10000", "pad_ufes", "--champion", "."), "--champion is of one task, but 2 are named"),
    ],
)
def test_bad_commands__answer_in_one_sentence(
    args: tuple[str, ...],
    sentence: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PANDERM_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
    assert call(*args) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
