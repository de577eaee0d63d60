from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from panderm.core.errors import ConfigError
from panderm.models.encoder import gather_rows, position_table
from panderm.models.regressor import Regressor, RegressorConfig

CONFIG = RegressorConfig(width=32, depth=2, heads=3, layer_scale=0.1, drop_path=0.0)  # 3 heads of 10: A = 30


def randomised() -> Regressor:
    torch.manual_seed(0)
    regressor = Regressor(CONFIG, encoder_width=32, grid=4)
    with torch.no_grad():
        for parameter in regressor.parameters():
            parameter.normal_(0, 0.3)
    return regressor.double().eval()


def literally(regressor: Regressor, z: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
    """The reference's equations, one head at a time."""
    p = {name: value.double() for name, value in regressor.state_dict().items()}
    table = position_table(4, 32)[:, 1:].double().expand(len(z), -1, -1)
    p_v, p_m = gather_rows(table, keep), gather_rows(table, masked)
    y = p["mask_token"].expand(len(z), masked.shape[1], -1)

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, (32,), p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)

    for b in (f"blocks.{i}." for i in range(2)):
        q = norm(y + p_m, b + "norm_q") @ p[b + "attention.q.weight"].T + p[b + "attention.q.bias"]
        k = norm(torch.cat([z, y], 1) + torch.cat([p_v, p_m], 1), b + "norm_k") @ p[b + "attention.k.weight"].T
        v = norm(torch.cat([z, y], 1), b + "norm_v") @ p[b + "attention.v.weight"].T + p[b + "attention.v.bias"]
        heads = []
        for h in range(3):
            part = slice(10 * h, 10 * h + 10)
            heads.append(torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) * 10**-0.5, -1) @ v[..., part])
        attended = torch.cat(heads, -1) @ p[b + "attention.proj.weight"].T + p[b + "attention.proj.bias"]
        y = y + p[b + "scale_1"] * attended
        y = norm(y, b + "norm_2")
        hidden = gelu(y @ p[b + "mlp.fc1.weight"].T + p[b + "mlp.fc1.bias"])
        y = y + p[b + "scale_2"] * (hidden @ p[b + "mlp.fc2.weight"].T + p[b + "mlp.fc2.bias"])
    return y


def test_regressor__is_the_reference_equations() -> None:
    regressor = randomised()
    z = torch.randn(2, 9, 32, dtype=torch.float64)
    order = torch.stack([torch.randperm(16) for _ in range(2)])
    keep, masked = order[:, :9].sort(1).values, order[:, 9:].sort(1).values
    assert torch.allclose(regressor(z, keep, masked), literally(regressor, z, keep, masked), atol=1e-10)


def test_regressor__twelve_heads_of_85_have_the_released_shapes() -> None:
    with torch.device("meta"):
        attention = Regressor(RegressorConfig(), encoder_width=1024, grid=14).blocks[0].get_submodule("attention")
    shapes = {name: tuple(value.shape) for name, value in attention.state_dict().items()}
    assert shapes == {
        "q.weight": (1020, 1024),
        "q.bias": (1020,),
        "k.weight": (1020, 1024),
        "v.weight": (1020, 1024),
        "v.bias": (1020,),
        "proj.weight": (1024, 1020),
        "proj.bias": (1024,),
    }


def test_regressor__another_width_gets_a_linear_and_a_norm() -> None:
    assert sum(p.numel() for p in Regressor(CONFIG, encoder_width=32, grid=4).entry.parameters()) == 0
    assert Regressor(CONFIG, encoder_width=64, grid=4).entry(torch.zeros(1, 2, 64)).shape == (1, 2, 32)


def test_regressor__every_parameter_gets_a_gradient() -> None:
    regressor = Regressor(CONFIG, encoder_width=32, grid=4)
    order = torch.arange(16).expand(2, -1)
    regressor(torch.randn(2, 8, 32), order[:, :8], order[:, 8:]).square().sum().backward()
    assert [name for name, parameter in regressor.named_parameters() if parameter.grad is None] == []


def test_regressor_config__refuses_an_odd_width() -> None:
    with pytest.raises(ConfigError, match="width 30 is not a multiple of 4"):
        RegressorConfig.parse({"width": 30})
