"""Which of torch's two float32 products is faster on this CPU, at the sizes of preset base and 8 images?

    python benchmarks/linear_routes.py

Least CPU time of each product of a linear layer, forwards and backwards, by MKL and by oneDNN, in TFLOP a CPU-second; and the
output in bfloat16 from float32 operands, conversion included. ``panderm/models/linear.py`` takes its route by these figures.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as every training is started; read when torch is loaded, once

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from panderm.models.linear import route_taken

_SIZES = (  # rows, inputs, outputs: encoder's qkv, projection and MLP, then the head of all tokens
    (792, 768, 2304),
    (792, 768, 768),
    (792, 768, 3072),
    (792, 3072, 768),
    (1576, 768, 512),
)
_ROUNDS = 12


def cpu_seconds(product: Callable[[], Tensor]) -> float:
    """Return the least CPU time of several calls."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        product()
        best = min(best, time.process_time() - began)
    return best


def routes(rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], Tensor]]:
    """Return the products of one layer by name."""
    seen, weight, gradient = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    found: Any = torch.ops.mkldnn._linear_pointwise

    def by_onednn(left: Tensor, right: Tensor) -> Tensor:
        product: Tensor = found(left, right, None, "none", [], "")
        return product

    return {
        "output MKL": lambda: seen @ weight.t(),
        "oneDNN": lambda: by_onednn(seen, weight),
        "to input MKL": lambda: gradient @ weight,
        "oneDNN ": lambda: by_onednn(gradient, weight.t()),
        "to weight MKL": lambda: gradient.t() @ seen,
        "oneDNN  ": lambda: by_onednn(gradient.t(), seen.t()),
        "output bf16": lambda: seen.bfloat16() @ weight.bfloat16().t(),
    }


def main() -> None:
    """Measure and print."""
    print(f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads; training takes {route_taken()}")
    for number, (rows, inputs, outputs) in enumerate(_SIZES):
        products = routes(rows, inputs, outputs)
        if not number:
            print(f"{'rows x inputs x outputs':25}" + "".join(f"{name.strip():>15}" for name in products))
        flop = 2.0 * rows * inputs * outputs / 1e12
        rates = "".join(f"{flop / cpu_seconds(product):15.3f}" for product in products.values())
        print(f"{f'{rows} x {inputs} x {outputs}':25}{rates}")


if __name__ == "__main__":
    main()
