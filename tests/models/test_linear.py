from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu
from torch.nn.functional import linear as torch_linear

from panderm.models import linear as module
from panderm.models.linear import FrozenLinear, linear, route_linears


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take oneDNN's route, whichever is faster here."""
    if module._found() is None:
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(module, "_product", module._found())
    monkeypatch.setattr(module, "_frozen_product", module._found())


def parts() -> tuple[Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(0)
    shapes = ((2, 5, 768), (512, 768), (512,))
    return tuple(torch.randn(shape, generator=made, requires_grad=True) for shape in shapes)  # type: ignore[return-value]


def gradients(function: object) -> list[Tensor]:
    leaves = parts()
    out = function(*leaves)  # type: ignore[operator]
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out, *torch.autograd.grad((out * weights).sum(), leaves)]


@pytest.mark.usefixtures("onednn")
def test_linear__gives_torchs_values_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = module._product
    monkeypatch.setattr(module, "_product", lambda *given: calls.append(1) or real(*given))  # type: ignore[misc, func-returns-value]
    for ours, torchs in zip(gradients(linear), gradients(torch_linear), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=2e-4)
    assert len(calls) == 3  # the output, and two of the three gradients


@pytest.mark.usefixtures("onednn")
def test_linear__is_the_same_from_run_to_run() -> None:
    for first, second in zip(gradients(linear), gradients(linear), strict=True):
        assert torch.equal(first, second)


def test_linear__without_onednn_is_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_product", None)
    for ours, torchs in zip(gradients(linear), gradients(torch_linear), strict=True):
        assert torch.equal(ours, torchs)


def test_linear__small_layers_and_other_types_are_torchs_own() -> None:
    x, weight, bias = parts()
    assert torch.equal(linear(x[..., :64], weight[:, :64], bias), torch_linear(x[..., :64], weight[:, :64], bias))
    assert linear(x.double(), weight.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16


def test_route_linears__keeps_weights_and_leaves_others_alone() -> None:
    tree = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Bilinear(4, 4, 2))
    before = {name: value.clone() for name, value in tree.state_dict().items()}
    route_linears(tree)
    assert [type(part).__name__ for part in tree] == ["Linear", "LayerNorm", "Bilinear"]
    assert type(tree[0]) is module.Linear
    assert all(torch.equal(value, before[name]) for name, value in tree.state_dict().items())


@pytest.mark.parametrize(("activation", "function"), [("none", lambda x: x), ("gelu", gelu), ("silu", silu)])
@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.usefixtures("onednn")
def test_frozen_linear__laid_out_or_not_gives_the_same(activation: str, function: object, laid_out: bool) -> None:
    x, weight, bias = (part.detach() for part in parts())
    frozen = FrozenLinear(weight.clone(), bias.clone(), activation)
    if laid_out:
        frozen.lay_out(rows=10)
    torch.testing.assert_close(frozen(x), function(torch_linear(x, weight, bias)), rtol=1e-4, atol=1e-4)  # type: ignore[operator]
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize(("capability", "takes"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_linear__frozen_weights_go_by_onednn_where_the_cpu_has_avx512(
    monkeypatch: pytest.MonkeyPatch, capability: str, takes: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert module._wide() is takes


@pytest.mark.parametrize(
    ("text", "takes"), [("vendor_id\t: AuthenticAMD\n", True), ("vendor_id\t: GenuineIntel\n", False), (None, False)]
)
def test_linear__training_goes_by_onednn_on_amd_alone(tmp_path: Path, text: str | None, takes: bool) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert module._by_amd(tmp_path / "cpuinfo") is takes
