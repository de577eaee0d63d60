"""Sizes of networks, read off the shapes of their tensors; where shapes do not tell, a rule that is said, or a refusal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from torch import Tensor

from panderm.core.config import FrozenConfig
from panderm.core.errors import ConfigError, InputError
from panderm.models.encoder import EncoderConfig
from panderm.models.regressor import RegressorConfig

ConfigT = TypeVar("ConfigT", bound=FrozenConfig)

OFFICIAL_HEADS = 12
"""Of every official network but the large encoder (16), whatever its width: 85 channels a head in the large regressor."""

_USUAL_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}
"""Width -> heads in timm's and open_clip's ViTs (Ti, S, B, L, H, g, bigG)."""


class Keys(NamedTuple):
    """Where a layout keeps what tells its sizes.

    Attributes:
        patch: weight of the patch convolution.
        positions: the table.
        blocks: pattern of a block's key, with its number as group.
        hidden: weight of the first MLP layer of block 0.
    """

    patch: str
    positions: str
    blocks: str
    hidden: str


class Sizes(NamedTuple):
    """What the shapes say: sides of patch and image in pixels, widths, blocks, and whether the table has a class row."""

    patch: int
    image: int
    width: int
    depth: int
    hidden: int
    class_row: bool


def read_sizes(tensors: Mapping[str, Tensor], keys: Keys, name: str) -> Sizes:
    """Return the sizes of a ViT.

    Raises:
        InputError: a tensor that tells them is missing, or the patch grid is not square.
    """
    patch, table = shape(tensors, keys.patch, name, 4), shape(tensors, keys.positions, name)
    rows = table[-2] if len(table) > 1 else 0
    class_row = math.isqrt(rows) ** 2 != rows
    grid = math.isqrt(rows - class_row)
    if grid**2 + class_row != rows or not grid:
        raise InputError(f"{name}: {keys.positions} has {rows} rows, which is no square grid of patches and a class token")
    hidden = shape(tensors, keys.hidden, name, 2)
    return Sizes(patch[-1], grid * patch[-1], patch[0], count(tensors, keys.blocks), hidden[0], class_row)


def shape(tensors: Mapping[str, Tensor], key: str, name: str, dimensions: int | None = None) -> tuple[int, ...]:
    """Return a tensor's shape.

    Raises:
        InputError: it is missing or has another number of dimensions.
    """
    if key not in tensors:
        raise InputError(f"{name} lacks {key}, so its sizes cannot be read; fetch the whole file")
    seen = tuple(tensors[key].shape)
    if dimensions is not None and len(seen) != dimensions:
        raise InputError(f"{name}: {key} has {len(seen)} dimensions where {dimensions} are needed; it is another network's")
    return seen


def count(tensors: Mapping[str, Tensor], blocks: str) -> int:
    """Return one more than the largest block number that ``blocks`` finds."""
    numbers = [int(found.group(1)) for key in tensors if (found := re.match(blocks, key))]
    return 1 + max(numbers, default=-1)


def official_heads(width: int, asked: int, name: str) -> tuple[int, str]:
    """Return the heads of an official encoder and where the number is from: 16 for the large one, else 12."""
    if asked:
        return asked, "as asked"
    heads = 16 if width == 1024 else OFFICIAL_HEADS
    if width % heads:
        raise InputError(f"{name} has width {width}, which {heads} heads do not divide; say --heads")
    return heads, "the official factory's"


def usual_heads(width: int, asked: int, name: str) -> tuple[int, str]:
    """Return the heads of a timm or open_clip ViT and where the number is from."""
    if asked:
        return asked, "as asked"
    if width not in _USUAL_HEADS:
        raise InputError(f"{name} has width {width}, which no usual ViT has, and no tensor tells its heads; say --heads")
    return _USUAL_HEADS[width], f"usual for width {width}"


def regressor_heads(inner: int, width: int, asked: int, name: str) -> tuple[int, str]:
    """Return the regressor's heads, read from the rows A of its query weight, and how that was done.

    Heads of floor(R / heads) channels have A = heads * floor(R / heads). Twelve, the official code's fixed number, if that
    gives A (1020 of 1024: 12 x 85); else heads of 64 (1024 of 1024: 16 x 64).
    """
    choices = [asked] if asked else [OFFICIAL_HEADS, width // 64]
    for heads in choices:
        if 0 < heads <= width and heads * (width // heads) == inner:
            return heads, f"{inner} rows of the query weight"
    tried = " and ".join(map(str, choices))
    raise InputError(
        f"{name}: the regressor's query weight has {inner} rows of width {width}, which {tried} heads do not give; "
        "say --regressor-heads"
    )


def encoder_config(sizes: Sizes, heads: int, name: str, layer_scale: float = 0.1, **others: object) -> EncoderConfig:
    """Return the architecture of these sizes.

    Raises:
        InputError: the sizes do not form a network of ours.
    """
    values = {
        "image_size": sizes.image,
        "patch_size": sizes.patch,
        "width": sizes.width,
        "depth": sizes.depth,
        "heads": heads,
        "mlp_ratio": sizes.hidden / sizes.width,
        "layer_scale": layer_scale,
        **others,
    }
    return _config(EncoderConfig, values, name)


def regressor_config(width: int, depth: int, heads: int, name: str) -> RegressorConfig:
    """Return the regressor's architecture.

    Raises:
        InputError: the sizes do not form a network of ours.
    """
    return _config(RegressorConfig, {"width": width, "depth": depth, "heads": heads}, name)


def _config(kind: type[ConfigT], values: dict[str, object], name: str) -> ConfigT:
    try:
        return kind.parse(values, where=name)
    except ConfigError as error:
        raise InputError(f"the sizes of {name} form no network of ours ({error}); it is another architecture's") from error
