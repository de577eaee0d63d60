from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from timm.optim import param_groups_layer_decay

from panderm.core.errors import InputError
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import EncoderConfig, build_untrained_encoder
from panderm.models.heads import FineTunedNetwork
from panderm.models.task_model import ModelCard, load_task_model, save_card, save_weights

SMALL = EncoderConfig(image_size=32, patch_size=8, width=32, depth=3, heads=2)


def network(**settings: bool) -> FineTunedNetwork:
    made = FineTunedNetwork(SMALL, 3, **settings).eval()
    made.start_from(build_untrained_encoder(SMALL, 1))
    return made


@torch.inference_mode()
def test_network__pools_patches_and_norms_behind_the_pooling() -> None:
    images = torch.randn(2, 3, 32, 32)
    made = network()
    encoder = build_untrained_encoder(SMALL, 1)
    pooled = encoder.tokens(images, norm=False)[:, 1:].mean(dim=1)
    torch.testing.assert_close(made(images), made.head(encoder.vit.norm(pooled)))
    assert float(made.head.weight.abs().max()) < 1e-3 * 0.2


@torch.inference_mode()
def test_network__zero_position_bias_changes_nothing_and_a_learnt_one_does() -> None:
    images = torch.randn(2, 3, 32, 32)
    plain, biased = network(), network(relative_position_bias=True)
    biased.head.load_state_dict(plain.head.state_dict())
    torch.testing.assert_close(biased(images), plain(images))
    torch.nn.init.normal_(biased.encoder.vit.blocks[0].attn.bias_table)
    assert not torch.allclose(biased(images), plain(images), rtol=1e-3, atol=1e-9)


def test_network__layer_decay_is_the_public_codes() -> None:
    made = network(relative_position_bias=True)
    groups = param_groups_layer_decay(made, 0.05, made.no_weight_decay(), layer_decay=0.65)
    names = {id(parameter): name for name, parameter in made.named_parameters()}
    facts = {names[id(p)]: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert facts["encoder.vit.cls_token"] == (pytest.approx(0.65**4), 0.0)
    assert facts["encoder.vit.patch_embed.proj.weight"] == (pytest.approx(0.65**4), 0.05)
    assert facts["encoder.vit.blocks.0.mlp.fc1.weight"] == (pytest.approx(0.65**3), 0.05)
    assert facts["encoder.vit.blocks.2.ls1.gamma"] == (pytest.approx(0.65), 0.0)
    assert facts["encoder.vit.blocks.2.attn.bias_table"] == (pytest.approx(0.65), 0.05)
    assert facts["fc_norm.weight"] == (1.0, 0.0)
    assert facts["head.weight"] == (1.0, 0.05)
    assert "encoder.vit.pos_embed" not in facts  # frozen


def save(folder: Path, made: FineTunedNetwork) -> ModelCard:
    folder.mkdir()
    digest = save_weights(folder / "network.safetensors", made)
    card = ModelCard(
        task="pad_ufes",
        protocol="fine_tuning",
        classes=("a", "b", "c"),
        preprocessing=Preprocessing(size=32, resize=36),
        architecture=SMALL,
        encoder_sha256="e",
        weights="network.safetensors",
        weights_sha256=digest,
        split_sha256="s",
        config={},
    )
    save_card(folder, card)
    return card


def test_load_task_model__answers_as_saved(tmp_path: Path) -> None:
    made = network()
    card = save(tmp_path / "model", made)
    loaded = load_task_model(tmp_path / "model")
    assert loaded.card == card
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded.logits(images), made(images))
    assert loaded.probabilities(np.zeros((1, 3, 32, 32), dtype=np.uint8)).dtype == np.float32


def test_load_task_model__refuses_exchanged_weights(tmp_path: Path) -> None:
    save(tmp_path / "model", network())
    save_weights(tmp_path / "model" / "network.safetensors", FineTunedNetwork(SMALL, 3))
    with pytest.raises(InputError, match=r"not the file model\.json describes; run `panderm finetune pad_ufes` again"):
        load_task_model(tmp_path / "model")


def test_load_task_model__refuses_weights_of_another_shape(tmp_path: Path) -> None:
    card = save(tmp_path / "model", network())
    save_card(tmp_path / "model", card.model_copy(update={"classes": ("a", "b")}))
    with pytest.raises(InputError, match="does not fit its card"):
        load_task_model(tmp_path / "model")
