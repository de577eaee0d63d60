"""Rows of docs/fidelity.md that no other test holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from panderm.models.encoder import build_encoder
from panderm.models.regressor import Regressor
from panderm.training.recipe import preset
from panderm.training.schedule import learning_rate


def rates(module: torch.nn.Module, name: str) -> list[float]:
    return [float(getattr(block.get_submodule(name), "drop_prob", 0.0)) for block in module.get_submodule("blocks")]


def test_drop_path__rises_linearly_over_the_blocks_of_both_networks() -> None:
    recipe = preset("large")
    with torch.device("meta"):
        encoder = build_encoder(recipe.encoder, recipe.drop_path)
        regressor = Regressor(recipe.regressor, 1024, 14)
    np.testing.assert_allclose(rates(encoder.vit, "drop_path1"), np.linspace(0, 0.1, 24), atol=1e-7)
    np.testing.assert_allclose(rates(encoder.vit, "drop_path2"), np.linspace(0, 0.1, 24), atol=1e-7)
    np.testing.assert_allclose(rates(regressor, "drop_path"), np.linspace(0, 0.1, 4), atol=1e-7)


def test_large_preset__takes_the_papers_559500_steps_and_rates() -> None:
    recipe = preset("large").optimisation
    each = 2_149_706 // recipe.batch
    steps, warmup = each * recipe.epochs, round(recipe.warmup_epochs * each)

    def rate(step: int) -> float:
        return learning_rate(step, steps=steps, warmup=warmup, peak=recipe.learning_rate, lowest=recipe.min_learning_rate)

    assert steps == 559_500
    assert (rate(0), rate(warmup - 1), rate(warmup)) == (0, 1.5e-3, 1.5e-3)
    assert rate((steps + warmup) // 2) == pytest.approx((1.5e-3 + 1e-5) / 2)
    assert 1e-5 < rate(steps - 1) < 1.0001e-5


def test_unknown_values__are_the_safe_defaults_and_can_be_set() -> None:
    large = preset("large")
    assert large.masking.generator == "block"
    assert large.masking.masked(14) == 98
    assert (large.encoder.layer_scale, large.regressor.layer_scale, large.drop_path) == (0.1, 0.1, 0.1)
    augmentation, optimisation = large.augmentation, large.optimisation
    assert (augmentation.crop_min, augmentation.jitter, augmentation.interpolation) == (0.4, 0.0, "bicubic")
    assert (optimisation.weight_decay, optimisation.clip, optimisation.min_learning_rate) == (0.05, 3.0, 1e-5)
    assert (optimisation.beta_1, optimisation.beta_2, optimisation.decay_tokens) == (0.9, 0.999, True)
    assert large.start is None
    changed = preset("large", {"optimisation": {"decay_tokens": False}, "regressor": {"heads": 16}})
    assert (changed.optimisation.decay_tokens, changed.regressor.heads) == (False, 16)
