from __future__ import annotations

import pytest
import torch

from panderm.models.regressor import Regressor, RegressorConfig
from panderm.training.schedule import decay_groups, learning_rate


def rates(steps: int = 100, warmup: int = 10) -> list[float]:
    return [learning_rate(step, steps=steps, warmup=warmup, peak=1.5e-3, lowest=1e-5) for step in range(steps)]


def test_learning_rate__rises_from_zero_to_the_peak_and_falls_to_the_end() -> None:
    found = rates()
    assert found[0] == 0
    assert found[9] == found[10] == 1.5e-3
    assert found[55] == pytest.approx((1.5e-3 + 1e-5) / 2)
    assert 1e-5 < found[-1] < 1.2e-5
    assert found[10:] == sorted(found[10:], reverse=True)


def test_learning_rate__without_warmup_starts_at_the_peak() -> None:
    assert rates(warmup=0)[0] == 1.5e-3


def test_decay_groups__spare_vectors_but_not_the_mask_token() -> None:
    regressor = Regressor(RegressorConfig(width=32, depth=1, heads=4), encoder_width=32, grid=4)
    decayed, plain = decay_groups(regressor, 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    assert any(parameter is regressor.mask_token for parameter in decayed["params"])
    assert {parameter.ndim for parameter in plain["params"]} == {1}
    total = len(decayed["params"]) + len(plain["params"])
    assert total == len(list(regressor.parameters()))
    assert all(isinstance(parameter, torch.nn.Parameter) for parameter in plain["params"])


def test_decay_groups__spare_the_mask_token_where_asked() -> None:
    regressor = Regressor(RegressorConfig(width=32, depth=1, heads=4), encoder_width=32, grid=4)
    decayed, plain = decay_groups(regressor, 0.05, tokens=False)
    assert any(parameter is regressor.mask_token for parameter in plain["params"])
    assert {parameter.ndim for parameter in decayed["params"]} == {2}
