"""Our step against the same step written plainly (``benchmarks/plain_step.py``): other code, other sums, the same result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from panderm.models.teacher import build_teacher
from panderm.training.data import Batch
from panderm.training.place import ALONE
from panderm.training.pretrain_worker import build_model, build_optimizer
from panderm.training.recipe import Recipe
from panderm.training.step import PARTS, Stepper, _step_seed

RATE = 2e-3
RECIPE = {
    "encoder": {"image_size": 32, "patch_size": 8, "width": 32, "depth": 2, "heads": 4},
    "teacher": {"source": "random", "image_size": 32, "random": {"patch_size": 8, "width": 32, "output_width": 24}},
    "optimisation": {"batch": 8, "learning_rate": RATE, "clip": 1.0},  # the first gradients are above it
}


@pytest.fixture
def plain_step(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from plain_step import PlainStep

    yield PlainStep
    sys.modules.pop("plain_step")


def batch(seed: int) -> Batch:
    made = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=made)
    order = torch.stack([torch.randperm(16, generator=made) for _ in range(8)])
    return Batch(pixels, pixels.flip(3), order[:, :8].sort(1).values, order[:, 8:].sort(1).values, torch.arange(8))


@pytest.mark.parametrize("width", [32, 24])  # as wide as the encoder, and with the map between the two
@pytest.mark.parametrize("drop", [0.0, 0.4])
def test_plain_step__five_steps_give_our_losses_and_weights(plain_step: Any, width: int, drop: float) -> None:
    regressor = {"width": width, "depth": 2, "heads": 3, "drop_path": drop}
    recipe = Recipe.parse(RECIPE | {"regressor": regressor, "drop_path": drop})
    teachers = [build_teacher(recipe.teacher, recipe.encoder.grid) for _ in range(2)]
    models = [build_model(recipe, teacher.width) for teacher in teachers]
    plain = plain_step(recipe, models[0], teachers[0], "", ALONE.device)
    optimizer, names = build_optimizer(models[1], recipe.optimisation), np.arange(8).astype(str)
    ours = Stepper(recipe, ALONE, models[1], models[1], teachers[1].placed("fp32", ALONE.device), optimizer, names)
    for step in range(5):
        torch.manual_seed(_step_seed(recipe.seed, step))  # the plain step draws stochastic depth from where it stands
        expected = plain.take(batch(step))
        found = ours.take(step, RATE, batch(step))[0].values
        np.testing.assert_allclose([found[part] for part in PARTS], expected, rtol=0, atol=1e-5, err_msg=f"step {step}")
        assert step or found["grad_norm"] > recipe.optimisation.clip  # so that there was something to clip
    for (name, theirs), mine in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        if not name.endswith("norm_k.bias"):  # its gradient is rounding noise (docs/fidelity.md: key bias)
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4, msg=name)
