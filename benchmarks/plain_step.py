"""The pretraining step written plainly, the arm that ``pretrain_step.py --compare naive`` measures ours against.

Same loss and same gradients from the same weights (``tests/training/test_plain_step.py`` holds it), without any of what makes
our step fast: boolean masks, scores of all tokens with all as a matrix in memory, the q, k, v bias put together in every call,
projections of keys and values from concatenated copies, every patch embedded, AdamW one tensor at a time, gradients clipped in
a pass of their own, the teacher in float32 (on a GPU in float16) beside CLIP's unused text half, and four values read back
in every step. Written from the description of the public implementation's step, not from its code.
"""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, gelu, linear
from torch.nn.utils import clip_grad_norm_

from panderm.models.alignment import MaskedAlignment
from panderm.models.pixels import normalise
from panderm.models.teacher import Teacher
from panderm.training.data import Batch
from panderm.training.recipe import Recipe


class PlainStep:
    """Takes steps on the parameters of one of our models.

    Args:
        recipe: what to compute.
        model: holds the parameters; its forward pass is not used.
        teacher: our teacher before it was laid out for speed.
        clip_name: the open_clip model whose text half is kept in memory too; empty for none.
        device: where.
    """

    def __init__(self, recipe: Recipe, model: MaskedAlignment, teacher: Teacher, clip_name: str, device: torch.device) -> None:
        self.recipe, self.model, self.device = recipe, model.to(device), device
        self.half = device.type == "cuda"
        self.teacher = teacher.to(device, torch.float16 if self.half else torch.float32)
        self.unused = open_clip.create_model(clip_name, load_weights=False).to(device) if clip_name else None
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in trained if parameter.ndim > 1]
        others = [parameter for parameter in trained if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        rate, decay = recipe.optimisation.learning_rate, recipe.optimisation.weight_decay
        self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, foreach=False)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half)

    def take(self, batch: Batch, mark: Any = lambda _name: None) -> list[float]:
        """Take a step and return its losses and gradient norm, read back one by one."""
        mark("start")
        loss, parts = self.losses(batch, mark)
        mark("forward")
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        mark("backward")
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.model.parameters(), self.recipe.optimisation.clip, foreach=False)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.half:
            torch.cuda.synchronize()
        read = [loss.item(), *(part.item() for part in parts), float(norm)]
        mark("optimizer")
        return read

    def losses(self, batch: Batch, mark: Any = lambda _name: None) -> tuple[Tensor, list[Tensor]]:
        """Return the loss, and that of class token, visible and masked tokens."""
        images = normalise(batch.student.to(self.device), self.recipe.preprocessing)
        seen = normalise(batch.teacher.to(self.device), self.teacher.preprocessing)
        mask = torch.zeros(len(images), self.recipe.encoder.grid**2, dtype=torch.bool, device=self.device)
        mask.scatter_(1, batch.masked.to(self.device), True)
        with torch.no_grad():
            targets = self.teacher(seen.half() if self.half else seen)
        mark("teacher")
        with torch.autocast(self.device.type, torch.float16, enabled=self.half):
            predicted, visible = self._forward(images, mask)
        patches, width = targets[:, 1:], targets.shape[-1]
        ordered = [targets[:, :1], *(patches[chosen].reshape(len(images), -1, width) for chosen in (~mask, mask))]
        distance = 1 - cosine_similarity(predicted.float(), torch.cat(ordered, dim=1).float(), dim=-1)
        parts = [distance[:, 0], distance[:, 1 : 1 + visible], distance[:, 1 + visible :]]
        return distance.mean(), [part.detach().mean() for part in parts]

    def _forward(self, images: Tensor, mask: Tensor) -> tuple[Tensor, int]:
        vit: Any = self.model.encoder.vit
        embedded = vit.patch_embed(images)
        count, _, width = embedded.shape
        table = vit.pos_embed.expand(count, -1, -1)
        kept = embedded[~mask].reshape(count, -1, width) + table[:, 1:][~mask].reshape(count, -1, width)
        tokens = torch.cat([vit.cls_token.expand(count, -1, -1) + table[:, :1], kept], dim=1)
        for block in vit.blocks:
            tokens = _block(tokens, block)
        latents = self.model.regressor.entry(vit.norm(tokens))
        predicted = self._regressed(latents[:, 1:], mask)
        mapped: Tensor = self.model.head(torch.cat([latents, predicted], dim=1))
        return mapped, kept.shape[1]

    def _regressed(self, visible: Tensor, mask: Tensor) -> Tensor:
        regressor: Any = self.model.regressor
        count, _, width = visible.shape
        table = regressor.positions.to(visible.device).expand(count, -1, -1)
        hidden, seen = table[mask].reshape(count, -1, width), table[~mask].reshape(count, -1, width)
        stream = regressor.mask_token.expand(count, hidden.shape[1], -1)
        for block in regressor.blocks:
            context, places = torch.cat([visible, stream], dim=1), torch.cat([seen, hidden], dim=1)
            attention = block.attention
            queries = _plain(attention.q, block.norm_q(stream + hidden))
            keys = _plain(attention.k, block.norm_k(context + places))
            values = _plain(attention.v, block.norm_v(context))
            attended = _plain(attention.proj, _attend(queries, keys, values, attention.heads))
            stream = block.norm_2(stream + block.drop_path(block.scale_1 * attended))
            changed = _plain(block.mlp.fc2, gelu(_plain(block.mlp.fc1, stream)))
            stream = stream + block.drop_path(block.scale_2 * changed)
        return stream


def _plain(layer: nn.Linear, tokens: Tensor) -> Tensor:
    return linear(tokens, layer.weight, layer.bias)


def _block(tokens: Tensor, block: Any) -> Tensor:
    projection = block.attn.qkv
    q_bias, _, v_bias = projection.bias.chunk(3)
    bias = torch.cat([q_bias, torch.zeros_like(q_bias), v_bias])
    queries, keys, values = linear(block.norm1(tokens), projection.weight, bias).chunk(3, dim=-1)
    attended = _plain(block.attn.proj, _attend(queries, keys, values, block.attn.num_heads))
    tokens = tokens + block.drop_path1(block.ls1(attended))
    changed = _plain(block.mlp.fc2, gelu(_plain(block.mlp.fc1, block.norm2(tokens))))
    return tokens + block.drop_path2(block.ls2(changed))  # type: ignore[no-any-return]


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (queries, keys, values))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
