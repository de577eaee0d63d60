from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch.nn.functional import cosine_similarity

from panderm.imaging.preprocessing import Preprocessing
from panderm.models.teacher import RANDOM_NOTE, RandomTower, Teacher, TeacherConfig, build_teacher
from panderm.models.teacher_tower import PlainTower, best_precision, is_plain

CPU = torch.device("cpu")
TOWER = RandomTower(patch_size=8, width=32, layers=2, heads=4, output_width=24)


def teacher(**settings: Any) -> Teacher:
    torch.manual_seed(0)
    tower = VisionTransformer(32, 8, 64, 2, 4, 4.0, output_dim=24, **settings).eval()
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if name.endswith(("bias", "gamma")):
                parameter.normal_(0.5, 0.5)  # freshly made they are zero or all alike
    return Teacher(tower, 24, Preprocessing(size=32, resize=32), "a tower")


def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "settings", [{}, {"act_layer": QuickGELU}, {"ls_init_value": 0.3}, {"no_ln_pre": True, "act_layer": QuickGELU}]
)
def test_placed__in_float32_answers_as_the_module_itself(settings: dict[str, Any]) -> None:
    plain = teacher(**settings)
    fast = copy.deepcopy(plain).placed("fp32", CPU)
    assert isinstance(fast.tower, PlainTower)
    torch.testing.assert_close(fast(images()), plain(images()), rtol=1e-5, atol=1e-5)
    assert fast.note == "a tower"


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.9995), ("fp16", 0.99995)])
def test_placed__in_half_precision_points_the_same_way(precision: Any, least: float) -> None:
    plain = teacher(act_layer=QuickGELU)
    half = copy.deepcopy(plain).placed(precision, CPU)
    answered = half(images())
    assert answered.dtype in (torch.bfloat16, torch.float16)
    assert float(cosine_similarity(answered.float(), plain(images()), dim=-1).min()) > least
    assert (half.note, half.precision) == (f"a tower, computed in {precision}", precision)


def test_placed__another_kind_of_tower_answers_under_autocast() -> None:
    plain = teacher(scale_heads=True)  # of open_clip's custom blocks
    assert not is_plain(plain.tower)
    half = copy.deepcopy(plain).placed("bf16", CPU)
    assert half.tower.conv1.weight.dtype == torch.float32
    answered = half(images())
    assert answered.dtype == torch.bfloat16
    assert float(cosine_similarity(answered.float(), plain(images()), dim=-1).min()) > 0.999


def test_best_precision__follows_device_and_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = torch.device("cuda")
    assert best_precision("random", CPU) == best_precision("random", gpu) == "fp32"
    assert best_precision("ViT-L-14-quickgelu@openai", gpu) == "fp16"
    assert best_precision("EVA02-L-14@merged2b_s4b_b131k", gpu) == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert best_precision("ViT-L-14-quickgelu@openai", CPU) == "fp32"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert best_precision("ViT-L-14-quickgelu@openai", CPU) == "bf16"


def test_build_teacher__random_note_is_unchanged_in_float32() -> None:
    config = TeacherConfig(source="random", image_size=32, random=TOWER)
    assert build_teacher(config, grid=4).placed("fp32", CPU).note == RANDOM_NOTE
