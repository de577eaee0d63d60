from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from panderm.core.errors import InputError
from panderm.core.files import read_json, write_json
from panderm.models.teacher import TeacherConfig
from panderm.training import targets
from panderm.training.metrics import read_metrics, without_timing
from panderm.training.place import ALONE, Place
from panderm.training.pretrain_worker import FINAL, METRICS, Job, Pretraining
from panderm.training.recipe import Recipe
from panderm.training.targets import agreed_precision

TEACHER = TeacherConfig()


class Told(Place):
    """The second of two processes, told what the first has chosen."""

    def agreed(self, number: int) -> int:
        assert number == 0
        return 2


def best(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(targets, "best_precision", lambda _source, _device: precision)


def test_agreed_precision__the_recipes_word_decides(tmp_path: Path) -> None:
    said: list[str] = []
    assert agreed_precision(TEACHER.model_copy(update={"precision": "fp16"}), ALONE, tmp_path, False, said.append) == "fp16"
    assert said == []
    assert not (tmp_path / "targets.json").exists()


def test_agreed_precision__a_run_goes_on_in_the_one_it_began_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    best(monkeypatch, "bf16")
    assert agreed_precision(TEACHER, ALONE, tmp_path, False, said.append) == "bf16"
    assert agreed_precision(TEACHER, ALONE, tmp_path, True, said.append) == "bf16"
    assert said == []
    best(monkeypatch, "fp32")
    assert agreed_precision(TEACHER, ALONE, tmp_path, True, said.append) == "bf16"
    assert said == [
        "the teacher goes on in bf16, in which this training began, so that its targets stay; alone, fp32 is best here"
    ]
    assert agreed_precision(TEACHER, ALONE, tmp_path, False, said.append) == "fp32"  # nothing is left of the former run
    assert read_json(tmp_path / "targets.json") == {"precision": "fp32"}
    write_json(tmp_path / "targets.json", {"precision": "fp8"})
    with pytest.raises(InputError, match="names the precision 'fp8'; allowed: fp32, bf16, fp16"):
        agreed_precision(TEACHER, ALONE, tmp_path, True, said.append)


def test_agreed_precision__the_first_process_decides_for_all(tmp_path: Path) -> None:
    assert agreed_precision(TEACHER, Told(1, 2, torch.device("cpu")), tmp_path, False, print) == "fp16"
    assert not (tmp_path / "targets.json").exists()


def test_pretraining__gone_on_with_on_a_machine_of_another_kind_has_the_same_targets(
    tiny_corpus: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(name: str) -> Job:
        (tiny_corpus / name).mkdir()
        where = {"corpus": tiny_corpus / "corpus", "data": tiny_corpus / "data", "work": tiny_corpus / name}
        settings: dict[str, Any] = {"preset": "tiny", "corpus_sha256": "c" * 64, "threads": 1, "workers": 0, "device": "cpu"}
        return Job(recipe=tiny_recipe, **where, **settings)

    whole, parted = job("whole"), job("parted")
    best(monkeypatch, "bf16")
    Pretraining(whole, ALONE).run()
    first = Pretraining(parted, ALONE)
    first.teller.tell = lambda line: first.stop() if line["step"] == 7 else None  # type: ignore[method-assign]
    first.run()
    best(monkeypatch, "fp32")
    Pretraining(parted, ALONE).run()
    texts = [without_timing(read_metrics(one.work / METRICS)) for one in (whole, parted)]
    assert texts[0] == texts[1]
    cards = [(one.work / FINAL / "encoder.json").read_text() for one in (whole, parted)]
    assert cards[0] == cards[1]
    assert "computed in bf16" in cards[0]
