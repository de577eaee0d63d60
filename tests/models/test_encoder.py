from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from panderm.core.errors import ConfigError, InputError
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import (
    WEIGHTS_NAME,
    EncoderCard,
    EncoderConfig,
    build_encoder,
    build_untrained_encoder,
    load_encoder,
    position_table,
    save_encoder,
)

CONFIG = EncoderConfig(image_size=32, patch_size=8, width=32, depth=2, heads=4)
CARD = EncoderCard(architecture=CONFIG, preprocessing=Preprocessing(size=32, resize=37))


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_position_table__is_the_stated_formula() -> None:
    grid, width = 4, 32
    table = position_table(grid, width)[0]
    omega = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    for patch in range(grid * grid):
        row, column = divmod(patch, grid)
        parts = [np.sin(row * omega), np.cos(row * omega), np.sin(column * omega), np.cos(column * omega)]
        np.testing.assert_allclose(table[1 + patch], np.concatenate(parts), atol=1e-6)
    assert torch.equal(table[0], torch.zeros(width))


def test_encoder__position_table_is_frozen_and_saved() -> None:
    encoder = build_encoder(CONFIG)
    assert not dict(encoder.named_parameters())["vit.pos_embed"].requires_grad
    assert torch.equal(encoder.state_dict()["vit.pos_embed"], position_table(4, 32))


def test_encoder__tokens_equal_timms_own_forward() -> None:
    encoder = build_untrained_encoder(CONFIG, seed=0)
    assert torch.allclose(encoder.tokens(images()), encoder.vit.forward_features(images()), atol=1e-6)
    assert torch.equal(encoder.class_token(images()), encoder.tokens(images())[:, 0])


def test_visible__of_every_patch_is_tokens() -> None:
    encoder = build_untrained_encoder(CONFIG, seed=0)
    keep = torch.arange(16).expand(3, -1)
    assert torch.allclose(encoder.visible(images(), keep), encoder.tokens(images()), atol=1e-6)


def test_visible__does_not_see_hidden_patches() -> None:
    encoder = build_untrained_encoder(CONFIG, seed=0)
    keep = torch.tensor([[0, 3, 5, 10]]).expand(3, -1)
    changed = images()
    changed[:, :, :8, 8:16] = 7.0  # patch 1
    assert torch.equal(encoder.visible(images(), keep), encoder.visible(changed, keep))
    changed[:, :, :8, :8] = 7.0  # patch 0
    assert not torch.allclose(encoder.visible(images(), keep), encoder.visible(changed, keep))


def test_encoder__key_bias_stays_zero_under_adam() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        encoder(images()).square().sum().backward()
        optimizer.step()
    bias = encoder.state_dict()["vit.blocks.0.attn.qkv.bias"]
    assert torch.equal(bias[32:64], torch.zeros(32))
    assert (bias[:32] != 0).all()


def test_encoder__initial_weights_follow_the_recipe() -> None:
    state = build_untrained_encoder(CONFIG, seed=0).state_dict()
    bound = (6 / (32 + 96)) ** 0.5  # Xavier-uniform of the fused projection
    assert 0.95 * bound < float(state["vit.blocks.1.attn.qkv.weight"].abs().max()) <= bound
    assert float(state["vit.patch_embed.proj.weight"].abs().max()) <= 0.02
    assert float(state["vit.cls_token"].abs().max()) <= 0.02
    assert torch.equal(state["vit.blocks.0.ls1.gamma"], torch.full((32,), 0.1))


def test_build_untrained_encoder__depends_on_the_seed_alone() -> None:
    first = build_untrained_encoder(CONFIG, seed=3)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert torch.equal(first(images()), build_untrained_encoder(CONFIG, seed=3)(images()))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(first(images()), build_untrained_encoder(CONFIG, seed=4)(images()))


def test_load_encoder__gives_back_what_was_saved(tmp_path: Path) -> None:
    encoder = build_untrained_encoder(CONFIG, seed=0)
    card = save_encoder(tmp_path, encoder, CARD)
    loaded, read = load_encoder(tmp_path)
    assert read == card
    assert len(card.sha256) == 64
    assert not loaded.training
    assert torch.equal(loaded(images()), encoder(images()))


def test_load_encoder__refuses_other_weights(tmp_path: Path) -> None:
    save_encoder(tmp_path, build_untrained_encoder(CONFIG, seed=0), CARD)
    with (tmp_path / WEIGHTS_NAME).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="is not the file"):
        load_encoder(tmp_path)


def test_load_encoder__refuses_another_architecture(tmp_path: Path) -> None:
    other = CONFIG.model_copy(update={"depth": 1})
    save_encoder(tmp_path, build_untrained_encoder(CONFIG, seed=0), CARD.model_copy(update={"architecture": other}))
    with pytest.raises(InputError, match="does not fit its architecture"):
        load_encoder(tmp_path)


def test_load_encoder__missing_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the stage"):
        load_encoder(tmp_path / "nowhere")


def test_encoder_config__names_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="image_size 100 is not a multiple of patch_size 16"):
        EncoderConfig.parse({"image_size": 100})
