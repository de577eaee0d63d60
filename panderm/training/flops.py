"""How many floating point operations a pretraining step takes: matrix products and attention, an addition and a product each.

What is counted is the work that the recipe describes, however it is done: the patches of the whole image are embedded, as
in the official step, although here only the visible ones are (0.15 of 342.9 GFLOP for the large preset). Norms, activations
and other passes over single values are not counted. A backward pass is twice its forward pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from open_clip.transformer import VisionTransformer

from panderm.core.errors import InputError
from panderm.models.encoder import EncoderConfig
from panderm.models.regressor import RegressorConfig
from panderm.models.teacher import Teacher
from panderm.training.recipe import Recipe


class TowerShape(NamedTuple):
    """Sizes of a ViT teacher.

    Attributes:
        patch_size: side of a patch, pixels.
        width: W.
        layers: transformer blocks.
        output_width: T.
        mlp_ratio: hidden width of the MLPs over W.
    """

    patch_size: int
    width: int
    layers: int
    output_width: int
    mlp_ratio: float = 4.0


class Flops(NamedTuple):
    """Floating point operations for one image.

    Attributes:
        encoder: forward pass over class token and visible patches.
        student: the same with regressor and head.
        teacher: forward pass over all patches.
    """

    encoder: float
    student: float
    teacher: float

    @property
    def step(self) -> float:
        """Student forwards and backwards, teacher forwards."""
        return 3 * self.student + self.teacher


def shape_of(teacher: Teacher) -> TowerShape:
    """Return the sizes of a teacher that was not laid out for answering yet.

    Raises:
        InputError: it is not one of open_clip's own ViTs.
    """
    tower: Any = teacher.tower
    if not isinstance(tower, VisionTransformer):
        raise InputError("operations are counted for open_clip's own ViTs only; name one, e.g. ViT-L-14-quickgelu")
    blocks, width = tower.transformer.resblocks, int(tower.transformer.width)
    ratio = blocks[0].mlp.c_fc.out_features / width
    return TowerShape(int(tower.patch_size[0]), width, len(blocks), teacher.width, ratio)


def count_flops(recipe: Recipe, teacher: TowerShape) -> Flops:
    """Count one image of a recipe with a teacher of the given shape."""
    patches = recipe.encoder.grid**2
    masked = recipe.masking.masked(recipe.encoder.grid)
    encoder = _encoder(recipe.encoder, patches, 1 + patches - masked)
    entry = recipe.encoder.width != recipe.regressor.width
    mapped = _product(1 + patches - masked, recipe.encoder.width, recipe.regressor.width) if entry else 0.0
    head = _product(1 + patches, recipe.regressor.width, teacher.output_width)
    student = encoder + mapped + _regressor(recipe.regressor, patches - masked, masked) + head
    return Flops(encoder, student, _tower(teacher, patches))


def _product(rows: int, inputs: int, outputs: float) -> float:
    return 2.0 * rows * inputs * outputs


def _attention(queries: int, keys: int, width: int) -> float:
    return 2 * _product(queries, width, keys)


def _blocks(tokens: int, width: int, depth: int, mlp_ratio: float) -> float:
    linears = _product(tokens, width, (4 + 2 * mlp_ratio) * width)
    return depth * (linears + _attention(tokens, tokens, width))


def _encoder(config: EncoderConfig, patches: int, tokens: int) -> float:
    embedded = _product(patches, 3 * config.patch_size**2, config.width)
    return embedded + _blocks(tokens, config.width, config.depth, config.mlp_ratio)


def _regressor(config: RegressorConfig, visible: int, masked: int) -> float:
    inner = config.heads * (config.width // config.heads)
    both = visible + masked
    projected = _product(2 * masked + 2 * both, config.width, inner)  # queries and output; keys and values
    mlp = _product(masked, config.width, 8 * config.width)
    return config.depth * (projected + _attention(masked, both, inner) + mlp)


def _tower(shape: TowerShape, patches: int) -> float:
    embedded = _product(patches, 3 * shape.patch_size**2, shape.width)
    head = _product(1 + patches, shape.width, shape.output_width)
    return embedded + _blocks(1 + patches, shape.width, shape.layers, shape.mlp_ratio) + head
