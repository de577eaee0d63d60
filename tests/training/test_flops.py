from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from panderm.core.errors import InputError
from panderm.models.teacher import build_teacher
from panderm.training.flops import TowerShape, count_flops, shape_of
from panderm.training.pretrain_worker import build_model
from panderm.training.recipe import Recipe, preset

CLIP_L, CLIP_B = TowerShape(14, 1024, 24, 768), TowerShape(16, 768, 12, 512)


def test_count_flops__gives_the_published_counts() -> None:
    """In GFLOP an image: encoder on class token and visible patches, student, teacher, step."""
    published = {"large": (CLIP_L, [61.1, 73.2, 123.3, 342.9]), "base": (CLIP_B, [17.4, 24.3, 35.3, 108.1])}
    for name, (teacher, expected) in published.items():
        found = count_flops(preset(name), teacher)  # type: ignore[arg-type]
        assert [round(value / 1e9, 1) for value in (found.encoder, found.student, found.teacher, found.step)] == expected


def test_count_flops__is_what_torch_counts(tiny_recipe: Recipe) -> None:
    teacher = build_teacher(tiny_recipe.teacher, tiny_recipe.encoder.grid)
    counted = count_flops(tiny_recipe, shape_of(teacher))
    model = build_model(tiny_recipe, teacher.width).eval()
    images, order = torch.randn(1, 3, 32, 32), torch.arange(16).unsqueeze(0)
    plain = sdpa_kernel(SDPBackend.MATH)  # a CPU's fused attention is not counted by torch
    with plain, FlopCounterMode(display=False) as flops:
        model.predict(images, order[:, :8], order[:, 8:])
    not_embedded = 2 * 8 * 3 * 8 * 8 * 32  # ours embeds the visible half only
    assert flops.get_total_flops() + not_embedded == pytest.approx(counted.student, rel=1e-6)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops, torch.no_grad():
        teacher.placed("fp32", torch.device("cpu"))(images)
    assert flops.get_total_flops() == pytest.approx(counted.teacher, rel=1e-6)


def test_shape_of__refuses_a_tower_it_cannot_count(tiny_recipe: Recipe) -> None:
    teacher = build_teacher(tiny_recipe.teacher, tiny_recipe.encoder.grid)
    teacher.tower = torch.nn.Identity()
    with pytest.raises(InputError, match="open_clip's own ViTs only"):
        shape_of(teacher)
