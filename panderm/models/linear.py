"""Linear maps that take the faster of two float32 routes on a CPU, forwards and backwards.

torch multiplies float32 matrices with MKL and carries oneDNN too. Measured at the base preset's sizes, in TFLOP a CPU-second:
on a Zen 4 with AVX-512 oneDNN is faster, 0.10 against 0.09; on an EPYC with AVX2 alone MKL is, 0.07 to 0.08 against 0.03 to
0.07, and so it is on a Xeon with AVX-512, 0.11 to 0.13 against 0.06 to 0.13: oneDNN is slow at transposed operands there, most
at rows of 12 KiB, those of the MLPs' gradients (``benchmarks/linear_routes.py`` measures yours). The same products in another
order of summation: results differ in the last bits, and are the same from run to run.

Frozen weights are another matter: oneDNN stores them as it reads them, which pays on every CPU with AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, silu
from torch.nn.functional import linear as torch_linear

_LEAST = 512 * 512  # weights; in smaller layers the product takes no longer than the way to it


def _found() -> Callable[..., Tensor] | None:
    """Return the product torch's own compiler uses on CPUs: (x, weight, bias, "none", [], "") -> x weight^T + bias."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    packet: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return packet if callable(packet) else None


def _wide() -> bool:
    """Return whether this CPU has AVX-512, without which oneDNN's products are slow."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def _by_amd(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the CPU says it is AMD's, on which MKL's products are not the fastest; False where nothing says so."""
    try:
        return "AuthenticAMD" in information.read_text()
    except OSError:
        return False


_frozen_product = _found() if _wide() else None
_product = _frozen_product if _by_amd() else None


def route_taken() -> str:
    """Return by what float32 products of a training go on this CPU: ``oneDNN`` or ``MKL`` (torch's own, whatever it is)."""
    return "MKL" if _product is None else "oneDNN"


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input weight^T + bias`` of (..., I), (O, I), (O): ``torch.nn.functional.linear``, by the faster route."""
    if _by_onednn(input, weight):
        routed: Tensor = _OneDnnLinear.apply(input, weight, bias)  # type: ignore[no-untyped-call]
        return routed
    return torch_linear(input, weight, bias)


def _by_onednn(input: Tensor, weight: Tensor) -> bool:
    return (
        _product is not None
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and type(weight) in (Tensor, nn.Parameter)  # a compiler's or a sharding's own kind of tensor goes its own way
        and weight.numel() >= _LEAST
        and input.device.type == "cpu"
        and input.dtype is torch.float32
        and weight.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


class FrozenLinear(nn.Module):
    """A linear map that is never trained, with the activation behind it; on a CPU laid out and fused by oneDNN.

    Args:
        weight: (O, I), in the precision to compute in.
        bias: (O,) in the same, or None.
        activation: ``none``, ``gelu`` (exact) or ``silu``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.activation = activation
        self._laid_out: Tensor | None = None

    def lay_out(self, rows: int) -> None:
        """Store the weight as oneDNN reads it fastest, for inputs of about ``rows`` rows; on a CPU, for good."""
        reorder: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None) if _frozen_product is not None else None
        if reorder is not None and self.weight.numel() >= _LEAST and self.weight.dtype in (torch.float32, torch.bfloat16):
            self._laid_out = reorder(self.weight.detach(), rows)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        if self._laid_out is not None and _frozen_product is not None and not torch.compiler.is_compiling():
            return _frozen_product(input, self._laid_out, self.bias, *_FUSED[self.activation])
        mapped = linear(input, self.weight, self.bias)
        return _ACTIVATIONS[self.activation](mapped)


_FUSED: dict[str, tuple[str, list[Any], str]] = {
    "none": ("none", [], ""),
    "gelu": ("gelu", [], "none"),
    "silu": ("swish", [], ""),
}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda mapped: mapped, "gelu": gelu, "silu": silu}


class _OneDnnLinear(torch.autograd.Function):
    """Output, input gradient and weight gradient as three products of one kind; operands are transposed by stride alone."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert _product is not None
        ctx.save_for_backward(input, weight)
        return _product(input, weight, bias, "none", [], "")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        assert _product is not None
        input, weight = ctx.saved_tensors
        rows, seen = gradient.flatten(0, -2), input.flatten(0, -2)
        to_input = _product(gradient, weight.t(), None, "none", [], "") if ctx.needs_input_grad[0] else None
        to_weight = _product(rows.t(), seen.t(), None, "none", [], "") if ctx.needs_input_grad[1] else None
        return to_input, to_weight, rows.sum(0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """``nn.Linear`` with :func:`linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        return linear(input, self.weight, self.bias)


def route_linears(module: nn.Module) -> None:
    """Let every plain linear layer below ``module`` go by :func:`linear`; its weights stay as they are."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = Linear
