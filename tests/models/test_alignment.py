from __future__ import annotations

import pytest
import torch

from panderm.models.alignment import MaskedAlignment, in_order, losses
from panderm.models.encoder import EncoderConfig, build_encoder
from panderm.models.regressor import Regressor, RegressorConfig
from panderm.training.recipe import preset

ENCODER = EncoderConfig(image_size=32, patch_size=8, width=32, depth=1, heads=4)


def model() -> MaskedAlignment:
    torch.manual_seed(0)
    regressor = Regressor(RegressorConfig(width=32, depth=1, heads=4, drop_path=0.0), encoder_width=32, grid=4)
    return MaskedAlignment(build_encoder(ENCODER), regressor, teacher_width=24)


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    order = torch.stack([torch.randperm(16) for _ in range(3)])
    return torch.randn(3, 3, 32, 32), order[:, :8].sort(1).values, order[:, 8:].sort(1).values


def test_losses__are_one_minus_cosine_and_ignore_length() -> None:
    tokens = torch.randn(2, 5, 8)
    assert losses(3 * tokens, tokens, 2).total.item() == pytest.approx(0, abs=1e-6)
    assert losses(-tokens, 2 * tokens, 2).total.item() == pytest.approx(2, abs=1e-6)


def test_losses__total_is_one_mean_over_all_tokens() -> None:
    found = losses(torch.randn(2, 1 + 7 + 9, 8), torch.randn(2, 17, 8), visible=7)
    weighted = (found.class_token + 7 * found.visible + 9 * found.masked) / 17
    assert torch.allclose(found.total, weighted)


def test_in_order__puts_each_target_beside_its_prediction() -> None:
    targets = torch.arange(17.0).reshape(1, 17, 1)
    keep, masked = torch.tensor([[1, 4]]), torch.tensor([[0, 15]])
    assert in_order(targets, keep, masked).flatten().tolist() == [0, 2, 5, 1, 16]


def test_alignment__predicts_every_token_in_the_teachers_width() -> None:
    images, keep, masked = parts()
    assert model().predict(images, keep, masked).shape == (3, 17, 24)


def test_alignment__every_trainable_parameter_gets_a_gradient() -> None:
    """So that DDP needs no search for unused parameters."""
    images, keep, masked = parts()
    alignment = model()
    alignment(images, keep, masked, torch.randn(3, 17, 24)).total.backward()
    missing = [name for name, p in alignment.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_alignment__the_masked_pixels_are_never_seen() -> None:
    images, keep, masked = parts()
    alignment = model().eval()
    hidden = images.clone()
    for image, patches in zip(hidden, masked, strict=True):
        for patch in patches.tolist():
            row, column = divmod(patch, 4)
            image[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 100.0
    assert torch.equal(alignment.predict(images, keep, masked), alignment.predict(hidden, keep, masked))


def test_alignment__the_large_preset_has_the_released_size() -> None:
    """The released file holds 354.66 million values, ours differ by what is frozen, unused or zero by construction."""
    recipe = preset("large")
    with torch.device("meta"):
        encoder = build_encoder(recipe.encoder)
        regressor = Regressor(recipe.regressor, recipe.encoder.width, recipe.encoder.grid)
        alignment = MaskedAlignment(encoder, regressor, teacher_width=768)
    ours = sum(parameter.numel() for parameter in alignment.parameters())
    key_biases, second_table, unused_norm = 24 * 1024, 197 * 1024, 2 * 1024
    assert round((ours - key_biases + second_table + unused_norm) / 1e6, 2) == 354.66
