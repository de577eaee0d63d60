"""The encoder: a ViT with a frozen 2-D sin-cos position table, as PanDerm (arXiv 2410.15038) pretrains it.

Built around ``timm.models.vision_transformer.VisionTransformer``, with three things that class alone does not give: the
frozen table, a key bias that is held at zero, and a forward pass over a chosen part of the patches.

Shapes: N images, S image side in pixels, G = S / patch side of the patch grid, P = G * G patches, K patches kept,
D width.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from panderm import __version__
from panderm.core.config import FrozenConfig, added
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json, writing
from panderm.core.terms import UNKNOWN, Input, imported, joined
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.linear import linear, route_linears
from panderm.models.residual import EncoderBlock

WEIGHTS_NAME = "encoder.safetensors"
CARD_NAME = "encoder.json"


class EncoderConfig(FrozenConfig):
    """The architecture; the defaults are the paper's ViT-L/16 at 224 px (Methods).

    Attributes:
        image_size: side of the square input, pixels.
        patch_size: side of a patch, pixels; divides ``image_size``.
        width: token width D, a multiple of 4 (the position table has four parts) and of ``heads``.
        depth: transformer blocks.
        heads: attention heads.
        mlp_ratio: hidden width of the MLPs over D (4 in every ViT of the CAE v2 family).
        layer_scale: initial LayerScale (0.1: the recipe's own default; the paper's value is not public).
        pre_norm: a layer norm before the first block, as CLIP's towers have (for imported weights).
        activation: of the MLPs; ``quick_gelu`` is OpenAI CLIP's (for imported weights).
        norm_eps: of every layer norm (1e-6: CAE family and timm; CLIP's towers have 1e-5).
    """

    image_size: int = Field(default=224, gt=0)
    patch_size: int = Field(default=16, gt=0)
    width: int = Field(default=1024, gt=0)
    depth: int = Field(default=24, gt=0)
    heads: int = Field(default=16, gt=0)
    mlp_ratio: float = Field(default=4.0, gt=0)
    layer_scale: float = Field(default=0.1, gt=0)
    pre_norm: bool = added(False)
    activation: Literal["gelu", "quick_gelu"] = added("gelu")
    norm_eps: float = added(1e-6, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> EncoderConfig:
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width {self.width} is not a multiple of heads ({self.heads}) and of 4")
        return self

    @property
    def grid(self) -> int:
        """Side of the patch grid, patches."""
        return self.image_size // self.patch_size


class EncoderCard(FrozenConfig):
    """What stands beside the weights as ``encoder.json``.

    Attributes:
        architecture: how to build the module.
        preprocessing: how an image becomes its input, everywhere from here on.
        sha256: of ``encoder.safetensors``; the encoder's name in every later record.
        corpus_sha256: of the corpus table it was trained on, empty if it was not trained.
        preset: the pretraining preset it came from, empty if none.
        teacher: what its targets came from, in words.
        steps: optimiser steps taken; 0 for an untrained baseline.
        code_version: version of this package.
        origin: which file or encoder the weights began with, in words; empty if they began here.
        licence: the terms that came with those weights and hold for whatever is made from them; empty if none did.
        inputs: data sets and teacher that it learnt from, with their terms; empty if untrained, imported or older than this.
    """

    architecture: EncoderConfig
    preprocessing: Preprocessing
    sha256: str = ""
    corpus_sha256: str = ""
    preset: str = ""
    teacher: str = ""
    steps: int = 0
    code_version: str = __version__
    origin: str = added("")
    licence: str = added("")
    inputs: tuple[Input, ...] = added(())

    @property
    def made_from(self) -> tuple[Input, ...]:
        """Everything that it was made from, with its terms; what is not known is named too. Empty for an untrained one."""
        unnamed = self.corpus_sha256 and not self.inputs
        corpus = (Input(name="pretraining corpus", licence=UNKNOWN),) if unnamed else self.inputs
        return joined(corpus, imported(self.licence))


class QkvLinear(nn.Linear):
    """The fused q, k, v projection whose key bias is zero for good.

    A key bias cannot change a softmax over keys, so its gradient is rounding noise, which Adam would blow up to full
    steps. The official network has none; here the middle third of ``bias`` is masked, which also stops its gradient.
    """

    key_mask: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width, 3 * width)
        mask = torch.ones(3, width)
        mask[1] = 0
        self.register_buffer("key_mask", mask.flatten(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Return q, k and v of tokens (..., D) as (..., 3 D)."""
        return linear(input, self.weight, self.bias * self.key_mask)


class Encoder(nn.Module):
    """ViT that sees all patches (:meth:`class_token`, :meth:`tokens`) or only some (:meth:`visible`).

    Args:
        config: the architecture.
        drop_path: stochastic depth, rising linearly from 0 to this over the blocks; acts in training mode only.

    Images are float (N, 3, S, S), already normalised with the card's mean and deviation.

    Attributes:
        checkpointing: keep only what enters each block and compute the rest again for the gradients.
    """

    def __init__(self, config: EncoderConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.vit = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=True,
            init_values=config.layer_scale,  # without a value timm builds no LayerScale at all
            norm_layer=partial(nn.LayerNorm, eps=config.norm_eps),
            act_layer=None if config.activation == "gelu" else config.activation,
            pre_norm=config.pre_norm,
            num_classes=0,
            global_pool="token",
            drop_path_rate=drop_path,
            weight_init="skip",
            block_fn=EncoderBlock,
        )
        self.checkpointing = False
        for block in self.vit.blocks:
            block.get_submodule("attn").qkv = QkvLinear(config.width)
        route_linears(self)
        self.apply(initialise)
        initialise_token(self._class_embedding)
        self._positions.requires_grad_(False).copy_(position_table(config.grid, config.width))

    @property
    def _class_embedding(self) -> nn.Parameter:
        assert self.vit.cls_token is not None
        return self.vit.cls_token

    @property
    def _positions(self) -> nn.Parameter:
        assert self.vit.pos_embed is not None
        return self.vit.pos_embed

    @property
    def width(self) -> int:
        """D, the width of a feature."""
        return self.config.width

    def visible(self, images: Tensor, keep: Tensor) -> Tensor:
        """Encode only the kept patches.

        Args:
            images: (N, 3, S, S) normalised.
            keep: (N, K) patch indices in ascending raster order.

        Returns:
            (N, 1 + K, D): class token, then the kept patches in their order, after the final norm.
        """
        projection = self.vit.patch_embed.get_submodule("proj")
        weight, bias = projection.get_parameter("weight"), projection.get_parameter("bias")
        seen = gather_rows(patch_pixels(images, self.config.patch_size), keep)
        return self._encode(linear(seen, weight.flatten(1), bias) + self._positions[0, 1:][keep])

    def tokens(self, images: Tensor, norm: bool = True) -> Tensor:
        """Encode every patch of images (N, 3, S, S) to (N, 1 + P, D), class token first; ``norm`` applies the final norm."""
        return self._encode(self._patches(images), norm)

    def tapped(self, images: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
        """Return the tokens (N, 1 + P, D) behind each of ``blocks`` (0-based, ascending), each after the one final norm."""
        tokens = self._stem(self._patches(images))
        seen: dict[int, Tensor] = {}
        for number, block in enumerate(self.vit.blocks):
            tokens = block(tokens)
            if number in blocks:
                seen[number] = self.vit.norm(tokens)
        return [seen[number] for number in blocks]

    def class_token(self, images: Tensor) -> Tensor:
        """Return the feature of images (N, 3, S, S): the class token after the final norm, (N, D)."""
        return self.tokens(images)[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        """Return :meth:`class_token`."""
        return self.class_token(images)

    def _patches(self, images: Tensor) -> Tensor:
        embedded: Tensor = self.vit.patch_embed(images)
        return embedded + self._positions[:, 1:]

    def _stem(self, patches: Tensor) -> Tensor:
        class_token = self._class_embedding + self._positions[:, :1]
        tokens: Tensor = self.vit.norm_pre(torch.cat([class_token.expand(patches.shape[0], -1, -1), patches], dim=1))
        return tokens

    def _encode(self, patches: Tensor, norm: bool = True) -> Tensor:
        tokens = self._stem(patches)
        for block in self.vit.blocks:
            tokens = run_block(block, self.checkpointing, tokens)
        encoded: Tensor = self.vit.norm(tokens) if norm else tokens
        return encoded


def gather_rows(tokens: Tensor, index: Tensor) -> Tensor:
    """Return rows ``index`` (N, K) of tokens (N, P, D) as (N, K, D): static shapes, no host synchronisation."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def patch_pixels(images: Tensor, side: int) -> Tensor:
    """Return the pixels of each patch of images (N, C, S, S) as rows (N, P, C * side * side), in the order of a kernel's."""
    count, channels, size, _ = images.shape
    grid = size // side
    squares = images.view(count, channels, grid, side, grid, side).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(count, grid * grid, channels * side * side)


def run_block(block: nn.Module, checkpointing: bool, *inputs: Tensor) -> Tensor:
    """Return ``block(*inputs)``; with ``checkpointing`` it is computed a second time for the gradients, with the same draws."""
    if checkpointing and torch.is_grad_enabled():
        again: Tensor = checkpoint(block, *inputs, use_reentrant=False)
        return again
    once: Tensor = block(*inputs)
    return once


def position_table(grid: int, width: int) -> Tensor:
    """Return the fixed table (1, 1 + grid * grid, width): a zero row for the class token, then 2-D sin-cos in raster order."""
    table = build_sincos2d_pos_embed([grid, grid], width, interleave_sin_cos=True)
    return torch.cat([torch.zeros(1, width), table]).unsqueeze(0)


def initialise(module: nn.Module) -> None:
    """Initialise one layer as the recipe does: Xavier-uniform linears, plain norms, truncated normal patch convolution."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        initialise_token(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialise_token(parameter: Tensor) -> None:
    """Fill with a normal of deviation 0.02, cut at one deviation (class token, mask token, patch convolution)."""
    nn.init.trunc_normal_(parameter, std=0.02, a=-0.02, b=0.02)


def build_encoder(config: EncoderConfig, drop_path: float = 0.0) -> Encoder:
    """Return a freshly initialised encoder in training mode; the global torch generator decides its weights."""
    return Encoder(config, drop_path)


def build_untrained_encoder(config: EncoderConfig, seed: int) -> Encoder:
    """Return the baseline every pretrained encoder is held against: seeded initial weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(config).eval()


def save_encoder(folder: Path, encoder: Encoder, card: EncoderCard) -> EncoderCard:
    """Write ``encoder.safetensors`` and ``encoder.json`` and return the card with the weights' sha256 filled in."""
    path = folder / WEIGHTS_NAME
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with writing(path) as aside:
        save_file(tensors, aside, metadata={"format": "pt"})
    card = card.model_copy(update={"sha256": sha256_file(path)})
    write_json(folder / CARD_NAME, card.model_dump(mode="json"))
    return card


def load_card(folder: Path) -> EncoderCard:
    """Read ``encoder.json`` without touching the weights.

    Raises:
        InputError: the folder holds no encoder.
        ConfigError: the card has an unknown or wrong key.
    """
    return EncoderCard.parse(read_json(folder / CARD_NAME), where=str(folder / CARD_NAME))


def load_encoder(folder: Path) -> tuple[Encoder, EncoderCard]:
    """Return the encoder of ``folder`` on the CPU in eval mode, and its card. Every tensor must match.

    Raises:
        InputError: weights are missing, damaged, not those of the card, or do not fit its architecture.
        ConfigError: the card has an unknown or wrong key.
    """
    card = load_card(folder)
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise InputError(f"{path} is missing; run `panderm pretrain`, or fetch it with `dvc pull`")
    if sha256_file(path) != card.sha256:
        raise InputError(f"{path} is not the file {CARD_NAME} describes (sha256 differs); fetch or make both again")
    encoder = Encoder(card.architecture)
    try:
        encoder.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not fit its architecture ({str(error).splitlines()[0]}); make it again") from error
    return encoder.eval(), card
