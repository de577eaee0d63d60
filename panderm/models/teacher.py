"""The frozen teacher: an open_clip image tower whose projected tokens, all of them, are the pretraining targets.

PanDerm's teacher is OpenAI's CLIP ViT-L/14 fed with 196 px, so that its 14 px patches give the 14 x 14 grid of a ViT-L/16
student at 224 px. Its position table is resized for that, bilinearly without antialiasing; open_clip's own loader resizes
bicubically with antialiasing, so a tower is loaded at its native size and resized here.

Shapes: N images, S image side, P patches, W tower width, T width after the projection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from open_clip.transformer import VisionTransformer
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.teacher_tower import DTYPES, PlainTower, Precision, is_plain
from panderm.models.teacher_weights import described_tower, fetch_tower, untrained_tower

RANDOM = "random"
RANDOM_NOTE = "random teacher: not clinically meaningful"


class RandomTower(FrozenConfig):
    """A small open_clip tower with seeded weights, for demos and tests: nothing to download, nothing learnt.

    The class token and the position table start at zero and near zero, so that its tokens carry the pixels below them
    (colour, texture) and its class token their average, instead of constants; its own mean and deviation are those of skin
    rather than of photographs, which halves what all tokens have in common (docs/pretraining.md has the measurements).

    Attributes:
        patch_size: side of a patch, pixels.
        width: W.
        layers: transformer blocks.
        heads: attention heads.
        output_width: T.
        position_scale: deviation of the position table over that of a usual initial one.
        mean: per-channel mean of its pixels, in 0..1 (rounded from samples of HAM10000, ISIC 2024 and PAD-UFES-20).
        std: per-channel deviation.
        seed: of the weights.
    """

    patch_size: int = 16
    width: int = 128
    layers: int = 3
    heads: int = 4
    output_width: int = 128
    position_scale: float = 0.1
    mean: tuple[float, float, float] = (0.70, 0.54, 0.50)
    std: tuple[float, float, float] = (0.14, 0.14, 0.15)
    seed: int = 0


class TeacherConfig(FrozenConfig):
    """Which tower gives the targets.

    Attributes:
        source: ``MODEL@TAG`` (an open_clip model and pretrained tag), ``MODEL`` with ``weights``, ``hf-hub:ORG/REPO``,
            ``local-dir:FOLDER`` (a repository fetched beforehand), or ``random``.
        weights: a weights file of ``MODEL`` on this machine (safetensors, or a torch file without code), used instead of
            fetching.
        image_size: side of the teacher's input, pixels (196: paper, Methods).
        precision: of its products: ``fp32``, ``bf16``, ``fp16``, or ``auto``: half precision where the device is fast at it
            (``panderm.models.teacher_tower.best_precision``); the encoder's card says which it was.
        random: the tower of ``random``.
    """

    source: str = "ViT-L-14-quickgelu@openai"
    weights: Path | None = None
    image_size: int = Field(default=196, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    random: RandomTower = RandomTower()


class Teacher(nn.Module):
    """A frozen image tower that answers with every projected token.

    Attributes:
        width: T.
        preprocessing: its own input size, mean and deviation.
        note: what it is, in words, for records.
        precision: of its products.
    """

    def __init__(self, tower: nn.Module, width: int, preprocessing: Preprocessing, note: str) -> None:
        super().__init__()
        self.tower = tower.eval().requires_grad_(False)
        self.width, self.preprocessing, self.note = width, preprocessing, note
        self.precision: Precision = "fp32"

    def train(self, mode: bool = True) -> Teacher:  # noqa: ARG002 - a teacher never trains
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, S, S), normalised by :attr:`preprocessing`, to tokens (N, 1 + P, T), class token first."""
        tower: Any = self.tower
        if isinstance(tower, PlainTower):
            return tower(images)  # type: ignore[no-any-return]
        with torch.autocast(images.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
            return self._own_forward(images)

    def _own_forward(self, images: Tensor) -> Tensor:
        tower: Any = self.tower
        if isinstance(tower, VisionTransformer):
            tokens: Tensor = tower.ln_post(tower.transformer(tower._embeds(images))) @ tower.proj
        else:  # a timm model inside open_clip's adapter
            tokens = tower.head(tower.trunk.head(tower.trunk.fc_norm(tower.trunk.forward_features(images))))
        return tokens

    def placed(self, precision: Precision, device: torch.device) -> Teacher:
        """Move to a device, compute in ``precision`` from now on, and drop the weights in any other; return self."""
        if is_plain(self.tower):
            products = DTYPES[precision]
            stream = torch.float32 if device.type == "cpu" else products
            tower = PlainTower(self.tower, products, stream)  # type: ignore[arg-type]
            if device.type == "cpu":
                tower.lay_out()
            self.tower = tower
        if precision != "fp32":
            self.note = f"{self.note}, computed in {precision}"
        self.precision = precision
        return self.to(device)


def build_teacher(config: TeacherConfig, grid: int) -> Teacher:
    """Return the teacher on the CPU, its position table resized to the student's grid.

    Args:
        config: which tower, at which input size.
        grid: side of the student's patch grid.

    Raises:
        InputError: the tower is unknown, its weights are not here and cannot be fetched, it does not give one token a
            patch, or its grid is not the student's (the message says which size would fit).
    """
    if config.source == RANDOM:
        tower: nn.Module = _random_tower(config.random, config.image_size)
        _check(tower, config, grid)
        mean, std, note = config.random.mean, config.random.std, RANDOM_NOTE
    else:
        fetched = fetch_tower(config.source, config.weights, lambda tower: _check(tower, config, grid))
        tower, mean, std, note = fetched.tower, fetched.mean, fetched.std, config.source
    _resize(tower, config, grid)
    seen = Preprocessing(size=config.image_size, resize=config.image_size, interpolation="bicubic", mean=mean, std=std)
    return Teacher(tower, _output_width(tower, config.image_size), seen, note)


def fitting_size(config: TeacherConfig, grid: int) -> int:
    """Return the input size, in pixels, at which a tower has ``grid`` patches a side; no weights are fetched.

    Raises:
        InputError: the model is unknown, or cannot be a teacher.
    """
    if config.source == RANDOM:
        return config.random.patch_size * grid
    tower = described_tower(config.source)
    _check_kind(tower, config.source)
    return _patch_side(tower) * grid


def untrained_teacher(name: str, image_size: int, grid: int) -> Teacher:
    """Return an open_clip image tower with random weights, for measuring time and memory where the weights are not at hand.

    Args:
        name: an open_clip model, e.g. ``ViT-L-14-quickgelu``.
        image_size: side of its input, pixels.
        grid: side of the student's patch grid.
    """
    config = TeacherConfig(source=name, image_size=image_size)
    tower = untrained_tower(name)
    _check(tower, config, grid)
    _resize(tower, config, grid)
    seen = Preprocessing(size=image_size, resize=image_size, interpolation="bicubic")
    return Teacher(tower, _output_width(tower, image_size), seen, f"{name} with random weights: knows nothing")


def _random_tower(config: RandomTower, image_size: int) -> VisionTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        tower = VisionTransformer(
            image_size=image_size,
            patch_size=config.patch_size,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            mlp_ratio=4.0,
            output_dim=config.output_width,
        )
    with torch.no_grad():
        tower.class_embedding.zero_()
        tower.positional_embedding.mul_(config.position_scale)
        tower.positional_embedding[0].zero_()
    return tower


def _check(tower: nn.Module, config: TeacherConfig, grid: int) -> None:
    """Refuse what cannot be a teacher of a student with ``grid`` patches a side; weights do not matter."""
    _check_kind(tower, config.source)
    patch = _patch_side(tower)
    if config.image_size != patch * grid:
        raise InputError(
            f"teacher {config.source!r} at {config.image_size} px gives {config.image_size / patch:g} patches a side, but the "
            f"student has {grid}; set its image_size to {patch * grid}"
        )


def _check_kind(tower: nn.Module, source: str) -> None:
    tower_: Any = tower
    if isinstance(tower, VisionTransformer):
        fits = tower_.attn_pool is None and not tower_.final_ln_after_pool and tower_.proj is not None
    else:
        trunk = getattr(tower, "trunk", None)
        fits = getattr(trunk, "num_prefix_tokens", None) == 1 and getattr(trunk, "global_pool", None) == "token"
    if not fits:
        raise InputError(
            f"teacher {source!r} does not give one projected token a patch and a class token; name a ViT with a class token, "
            "e.g. ViT-L-14-quickgelu@openai or EVA02-L-14@merged2b_s4b_b131k"
        )


def _patch_side(tower: nn.Module) -> int:
    tower_: Any = tower
    if isinstance(tower, VisionTransformer):
        return int(tower_.patch_size[0])
    return int(tower_.trunk.patch_embed.feat_ratio())  # behind a stem of convolutions it is not the patch's own size


def _resize(tower: nn.Module, config: TeacherConfig, grid: int) -> None:
    tower_: Any = tower
    if isinstance(tower, VisionTransformer):
        table = resize_positions(tower_.positional_embedding.detach(), grid)
        tower_.positional_embedding = nn.Parameter(table, requires_grad=False)
        tower_.grid_size, tower_.image_size = (grid, grid), (config.image_size, config.image_size)
    elif tower_.trunk.patch_embed.img_size != (config.image_size, config.image_size):
        tower_.set_input_size(config.image_size)


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """Return a position table (1 + p * p, W) for a ``grid`` x ``grid`` of patches: bilinear, no antialias, class row kept."""
    side = round((table.shape[0] - 1) ** 0.5)
    if side == grid:
        return table
    rows = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = interpolate(rows, size=(grid, grid), mode="bilinear", align_corners=False, antialias=False)
    return torch.cat([table[:1], resized.permute(0, 2, 3, 1).reshape(grid * grid, -1)])


def _output_width(tower: nn.Module, image_size: int) -> int:
    tower_: Any = tower
    if isinstance(tower, VisionTransformer):
        return int(tower_.proj.shape[1])
    with torch.no_grad():
        return int(tower.eval()(torch.zeros(1, 3, image_size, image_size)).shape[-1])
