"""What a step of fine-tuning asks of the network: the loss without mixing, with mixup, with cutmix, and with one of the two."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panderm.models.pixels import normalise
from panderm.training.finetune_recipe import FineTuneRecipe
from panderm.training.finetune_worker import FINAL, METRICS, WEIGHTS_NAME, FineTuning, Job
from panderm.training.metrics import read_metrics
from panderm.training.place import ALONE

World = Callable[..., SimpleNamespace]
Make = Callable[..., FineTuning]
TARGETS = torch.tensor([0, 1, 2, 3])
UNMIXED = {"mixup": 0.0, "cutmix": 0.0}


class Watched(nn.Module):
    """Answers with given logits and keeps the images that it was shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.seen = logits, torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return self.logits


@pytest.fixture
def make(make_task_world: World) -> Make:
    """Return a maker of one process of a fine-tuning with six classes."""

    def made(**settings: Any) -> FineTuning:
        world = make_task_world("pad_ufes", images=90)
        job = Job(
            recipe=FineTuneRecipe.model_validate({"epochs": 2, "warmup_epochs": 0, "batch": 8} | settings),
            classes=world.task.classes,
            split=world.split / "split.parquet",
            data=world.data,
            encoder=world.encoder,
            work=world.root / "work",
        )
        return FineTuning(job, ALONE)

    return made


def step(tuning: FineTuning, seed: int = 0) -> tuple[float, Tensor, Tensor, Tensor]:
    """Take the loss of a batch of four flat images of different greys: loss, logits, images as shown, images unmixed."""
    pixels = torch.tensor([0, 60, 120, 180], dtype=torch.uint8)[:, None, None, None].expand(4, 3, 32, 32).contiguous()
    model = Watched(torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)))
    np.random.seed(seed)
    loss = tuning._loss(pixels, TARGETS, model)
    return float(loss), model.logits, model.seen, normalise(pixels, tuning.spec)


def smoothed(smoothing: float) -> Tensor:
    """Targets (4, 6) written out: the label's share, and the smoothing dealt to all six classes alike."""
    soft = torch.full((4, 6), smoothing / 6)
    soft[torch.arange(4), TARGETS] += 1 - smoothing
    return soft


def cross_entropy(logits: Tensor, soft: Tensor) -> float:
    return float(-(soft * torch.log_softmax(logits, dim=1)).sum(dim=1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_loss__without_mixing_smooths_labels_and_leaves_images(make: Make, smoothing: float) -> None:
    tuning = make(**UNMIXED, label_smoothing=smoothing)
    assert tuning.mix is None
    loss, logits, shown, plain = step(tuning)
    assert (shown == plain).all()
    assert loss == pytest.approx(cross_entropy(logits, smoothed(smoothing)), abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_loss__mixup_blends_images_and_labels_by_one_share(make: Make, seed: int) -> None:
    tuning = make(mixup=0.8, cutmix=0.0, label_smoothing=0.1)
    loss, logits, shown, plain = step(tuning, seed)
    share = float(((shown - plain.flip(0)) / (plain - plain.flip(0))).mean())
    assert 0 < share < 1
    torch.testing.assert_close(shown, share * plain + (1 - share) * plain.flip(0), atol=1e-5, rtol=0)
    soft = smoothed(0.1)
    assert loss == pytest.approx(cross_entropy(logits, share * soft + (1 - share) * soft.flip(0)), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 2, 3])  # 1 draws a box of no area
def test_loss__cutmix_pastes_a_box_and_labels_count_by_its_area(make: Make, seed: int) -> None:
    tuning = make(mixup=0.0, cutmix=1.0, label_smoothing=0.1)
    loss, logits, shown, plain = step(tuning, seed)
    pasted = (shown != plain).any(dim=1)
    assert (torch.where(pasted[:, None], plain.flip(0), plain) == shown).all(), "a pixel is of one of the two images"
    assert (pasted == pasted[0]).all(), "one box for the batch"
    rows, columns = pasted[0].any(dim=1), pasted[0].any(dim=0)
    assert (torch.outer(rows, columns) == pasted[0]).all(), "the box is a rectangle"
    share = 1 - float(pasted[0].float().mean())
    assert 0 < share < 1
    soft = smoothed(0.1)
    assert loss == pytest.approx(cross_entropy(logits, share * soft + (1 - share) * soft.flip(0)), abs=1e-5)


def test_loss__with_both_each_batch_gets_one_as_often_as_asked(make: Make) -> None:
    tuning = make(mixup=0.8, cutmix=1.0, mix_switch=0.25)
    cut = []
    for seed in range(120):
        _, _, shown, plain = step(tuning, seed)
        cut.append(bool(((shown == plain) | (shown == plain.flip(0))).all()))
    assert 0.14 < np.mean(cut) < 0.36


@pytest.mark.slow
@pytest.mark.parametrize("mixing", [UNMIXED, {"mixup": 0.0, "cutmix": 1.0}], ids=["unmixed", "cutmix"])
def test_run__learns_without_mixing_and_with_cutmix(make: Make, mixing: dict[str, float]) -> None:
    tuning = make(**mixing, epochs=8, learning_rate=3e-3, layer_decay=0.9, drop_path=0.0)
    tuning.run()
    lines = read_metrics(tuning.job.work / METRICS)
    assert lines[-1]["loss"] < lines[0]["loss"] < np.log(6) + 0.1
    assert lines[-1]["score"] > 0.4  # six classes


@pytest.mark.slow
def test_run__cutmix_goes_on_after_an_interruption_to_the_same_bytes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(mixup=0.0, cutmix=1.0, learning_rate=3e-3)
    whole.run()
    job = whole.job.model_copy(update={"work": whole.job.work.parent / "again"})
    stopped = FineTuning(job, ALONE)

    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise InterruptedError

    monkeypatch.setattr(stopped, "_say", stop)
    with pytest.raises(InterruptedError):
        stopped.run()
    FineTuning(job, ALONE).run()
    first, second = ((work / FINAL / WEIGHTS_NAME).read_bytes() for work in (whole.job.work, job.work))
    assert first == second
