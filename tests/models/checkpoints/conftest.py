"""The official networks once more, written from their key tables and equations alone, one head at a time, for tiny widths."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
TINY = SimpleNamespace(patch=4, grid=4, width=40, depth=2, heads=4, regressor_depth=2, inner=36, regressor_heads=12, teacher=24)


def sincos(grid: int, width: int) -> Tensor:
    rows = [torch.zeros(width)]
    omega = [10000.0 ** (-k / (width / 4)) for k in range(width // 4)]
    for patch in range(grid * grid):
        row, column = divmod(patch, grid)
        waves = ((row, math.sin), (row, math.cos), (column, math.sin), (column, math.cos))
        rows.append(torch.tensor([wave(at * o) for at, wave in waves for o in omega]))
    return torch.stack(rows).unsqueeze(0)


def encoder_shapes(d: int, depth: int, patch: int, grid: int, prefix: str = "", norm: str = "norm") -> Shapes:
    shapes: Shapes = {"cls_token": (1, 1, d), "pos_embed": (1, 1 + grid * grid, d)}
    shapes |= {"patch_embed.proj.weight": (d, 3, patch, patch), "patch_embed.proj.bias": (d,)}
    for i in range(depth):
        block: Shapes = {"gamma_1": (d,), "gamma_2": (d,), "norm1.weight": (d,), "norm1.bias": (d,)}
        block |= {"attn.q_bias": (d,), "attn.v_bias": (d,), "attn.qkv.weight": (3 * d, d)}
        block |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        block |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,), "mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,)}
        shapes |= {f"blocks.{i}.{key}": shape for key, shape in block.items()}
    shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
    return {prefix + key: shape for key, shape in shapes.items()}


def regressor_shapes(r: int, a: int, depth: int, teacher: int) -> Shapes:
    shapes: Shapes = {}
    for i in range(depth):
        block: Shapes = {"gamma_1_cross": (r,), "gamma_2_cross": (r,)}
        for norm in ("norm1_q", "norm1_k", "norm1_v", "norm2_cross"):
            block |= {f"{norm}.weight": (r,), f"{norm}.bias": (r,)}
        block |= {"cross_attn.q_bias": (a,), "cross_attn.v_bias": (a,)}
        block |= {f"cross_attn.{part}.weight": (a, r) for part in "qkv"}
        block |= {"cross_attn.proj.weight": (r, a), "cross_attn.proj.bias": (r,)}
        block |= {"mlp_cross.fc1.weight": (4 * r, r), "mlp_cross.fc1.bias": (4 * r,)}
        block |= {"mlp_cross.fc2.weight": (r, 4 * r), "mlp_cross.fc2.bias": (r,)}
        shapes |= {f"regresser.regressor_blocks.{i}.{key}": shape for key, shape in block.items()}
    shapes |= {"regresser.norm.weight": (r,), "regresser.norm.bias": (r,)}
    shapes |= {"decoder.norm.weight": (r,), "decoder.norm.bias": (r,)}
    return shapes | {"decoder.head.weight": (teacher, r), "decoder.head.bias": (teacher,)}


def pretraining_shapes(**size: int) -> Shapes:
    """Return the large file's keys in their order."""
    s = SimpleNamespace(**(vars(TINY) | size))
    shapes: Shapes = {"rd_pos_embed": (1, 1 + s.grid**2, s.width), "mask_token": (1, 1, s.width)}
    shapes |= encoder_shapes(s.width, s.depth, s.patch, s.grid, "encoder.")
    return shapes | regressor_shapes(s.width, s.inner, s.regressor_depth, s.teacher)


def filled(shapes: Shapes, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    state = {key: torch.randn(shape, generator=generator) * 0.3 for key, shape in shapes.items()}
    for key, shape in shapes.items():
        if key.endswith("pos_embed"):
            state[key] = sincos(math.isqrt(shape[1] - 1), shape[2])
    return state


def normed(x: Tensor, s: State, key: str) -> Tensor:
    return layer_norm(x, (x.shape[-1],), s[f"{key}.weight"], s[f"{key}.bias"], 1e-6)


def linear(x: Tensor, s: State, key: str) -> Tensor:
    return x @ s[f"{key}.weight"].T + s[f"{key}.bias"]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    size, parts = q.shape[-1] // heads, []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(1, 2) * size**-0.5
        parts.append(torch.softmax(scores if bias is None else scores + bias[h], -1) @ v[..., part])
    return torch.cat(parts, -1)


def encode(s: State, images: Tensor, heads: int, hidden: Tensor | None = None, bias: dict[int, Tensor] | None = None) -> Tensor:
    """Encode with keys as in the base file; ``hidden`` (N, P) marks patches that are not seen; no final norm."""
    weight = s["patch_embed.proj.weight"]
    x = conv2d(images, weight, s["patch_embed.proj.bias"], stride=weight.shape[-1]).flatten(2).transpose(1, 2)
    x = x + s["pos_embed"][:, 1:]
    if hidden is not None:
        x = x[~hidden].reshape(len(x), -1, x.shape[-1])
    x = torch.cat([(s["cls_token"] + s["pos_embed"][:, :1]).expand(len(x), -1, -1), x], 1)
    for i in range(1 + max(int(key.split(".")[1]) for key in s if key.startswith("blocks."))):
        b, d = f"blocks.{i}.", x.shape[-1]
        y = normed(x, s, b + "norm1")
        wq, wk, wv = s[b + "attn.qkv.weight"].split(d)
        q, k, v = y @ wq.T + s[b + "attn.q_bias"], y @ wk.T, y @ wv.T + s[b + "attn.v_bias"]
        y = linear(attend(q, k, v, heads, bias[i] if bias else None), s, b + "attn.proj")
        x = x + s[b + "gamma_1"] * y
        x = x + s[b + "gamma_2"] * linear(gelu(linear(normed(x, s, b + "norm2"), s, b + "mlp.fc1")), s, b + "mlp.fc2")
    return x


def regress(s: State, z: Tensor, hidden: Tensor, heads: int) -> Tensor:
    """Predict the masked latents from visible ones ``z`` (N, K, R)."""
    n, r = len(z), z.shape[-1]
    table = s["rd_pos_embed"][:, 1:].expand(n, -1, -1)
    p_m, p_v = table[hidden].reshape(n, -1, r), table[~hidden].reshape(n, -1, r)
    y = s["mask_token"].expand(n, p_m.shape[1], -1)
    for i in range(1 + max(int(key.split(".")[2]) for key in s if key.startswith("regresser.regressor_blocks."))):
        b = f"regresser.regressor_blocks.{i}."
        both, places = torch.cat([z, y], 1), torch.cat([p_v, p_m], 1)
        q = normed(y + p_m, s, b + "norm1_q") @ s[b + "cross_attn.q.weight"].T + s[b + "cross_attn.q_bias"]
        k = normed(both + places, s, b + "norm1_k") @ s[b + "cross_attn.k.weight"].T
        v = normed(both, s, b + "norm1_v") @ s[b + "cross_attn.v.weight"].T + s[b + "cross_attn.v_bias"]
        y = y + s[b + "gamma_1_cross"] * linear(attend(q, k, v, heads), s, b + "cross_attn.proj")
        y = normed(y, s, b + "norm2_cross")
        y = y + s[b + "gamma_2_cross"] * linear(gelu(linear(y, s, b + "mlp_cross.fc1")), s, b + "mlp_cross.fc2")
    return y


def relative_index(grid: int) -> Tensor:
    side, n = 2 * grid - 1, (2 * grid - 1) ** 2 + 3
    index = torch.zeros(1 + grid * grid, 1 + grid * grid, dtype=torch.int64)
    for i in range(grid * grid):
        for j in range(grid * grid):
            row, column = i // grid - j // grid, i % grid - j % grid
            index[1 + i, 1 + j] = (row + grid - 1) * side + column + grid - 1
    index[0, :], index[:, 0], index[0, 0] = n - 3, n - 2, n - 1
    return index


def fine_tuned_state(biased: bool, classes: int = 6) -> State:
    shapes = encoder_shapes(TINY.width, TINY.depth, TINY.patch, TINY.grid, norm="fc_norm")
    shapes |= {"head.weight": (classes, TINY.width), "head.bias": (classes,)}
    tables = {
        f"blocks.{i}.attn.relative_position_bias_table": ((2 * TINY.grid - 1) ** 2 + 3, TINY.heads) for i in range(TINY.depth)
    }
    state = filled(shapes | (tables if biased else {}), 5)
    if biased:
        state |= {f"blocks.{i}.attn.relative_position_index": relative_index(TINY.grid) for i in range(TINY.depth)}
    return state


def fine_tuned_logits(s: State, images: Tensor, biased: bool) -> Tensor:
    bias = None
    if biased:
        index = relative_index(TINY.grid)
        bias = {i: s[f"blocks.{i}.attn.relative_position_bias_table"][index].permute(2, 0, 1) for i in range(TINY.depth)}
    return linear(normed(encode(s, images, TINY.heads, bias=bias)[:, 1:].mean(1), s, "fc_norm"), s, "head")


@pytest.fixture(scope="session")
def official() -> Any:
    """Return the reference: sizes, makers of state dicts, forward passes."""
    names = ("TINY", "encoder_shapes", "pretraining_shapes", "filled", "normed", "linear", "encode", "regress")
    return SimpleNamespace(**{name: globals()[name] for name in (*names, "fine_tuned_state", "fine_tuned_logits", "sincos")})


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
