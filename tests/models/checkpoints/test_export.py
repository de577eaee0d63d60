from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from panderm.core.errors import InputError
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.checkpoints.export import export_checkpoint
from panderm.models.checkpoints.options import ImportOptions
from panderm.models.checkpoints.regressor_file import RegressorCard, save_regressor
from panderm.models.checkpoints.write import import_checkpoint
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, load_encoder, save_encoder
from panderm.models.regressor import Regressor, RegressorConfig


def there_and_back(folder: Path, state: Any, form: Any, **more: Any) -> Any:
    torch.save(state, folder / "theirs.pth")
    import_checkpoint(folder / "theirs.pth", folder / "ours", ImportOptions(heads=4), say=lambda _: None, **more)
    assert export_checkpoint(folder / "ours", form, folder / "back.pth") == "CC-BY-NC-ND-4.0"
    return torch.load(folder / "back.pth", weights_only=True)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_large_file__comes_back_bit_for_bit_in_its_order(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.pretraining_shapes())
    state["rd_pos_embed"] = state["rd_pos_embed"] + 2e-7  # as other ways to compute it differ
    back = there_and_back(tmp_path, state, "official-large")
    assert same(back, state)
    assert list(back) == list(state)


def test_large_file_without_decoder__comes_back_without(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.pretraining_shapes())
    state = {key: value for key, value in state.items() if not key.startswith("decoder.")}
    assert same(there_and_back(tmp_path, state, "official-large"), state)


def test_base_file__comes_back_bit_for_bit_in_its_order(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.encoder_shapes(40, 2, 4, 4))
    back = there_and_back(tmp_path, state, "official-base")
    assert same(back, state)
    assert list(back) == list(state)


@pytest.mark.parametrize("biased", [True, False])
def test_fine_tuned_file__comes_back_bit_for_bit(official: Any, tmp_path: Path, biased: bool) -> None:
    state = official.fine_tuned_state(biased)
    back = there_and_back(tmp_path, {"model": state}, "official-fine-tuned", task="pad_ufes")
    assert same(back["model"], state)


def test_timm__comes_back_bit_for_bit(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.encoder_shapes(40, 2, 4, 4))
    there_and_back(tmp_path, state, "timm")
    export_checkpoint(tmp_path / "ours", "timm", tmp_path / "timm.safetensors")
    import_checkpoint(tmp_path / "timm.safetensors", tmp_path / "again", ImportOptions(heads=4), say=lambda _: None)
    export_checkpoint(tmp_path / "again", "timm", tmp_path / "timm.pth")
    assert same(load_file(tmp_path / "timm.safetensors"), torch.load(tmp_path / "timm.pth", weights_only=True))
    assert (tmp_path / "again" / "encoder.safetensors").read_bytes() == (tmp_path / "ours" / "encoder.safetensors").read_bytes()


def test_export__of_a_training_of_ours_has_the_large_layout(official: Any, tmp_path: Path) -> None:
    config = EncoderConfig(image_size=16, patch_size=4, width=40, depth=2, heads=4)
    card = EncoderCard(architecture=config, preprocessing=Preprocessing(size=16, resize=18))
    save_encoder(tmp_path, build_untrained_encoder(config, 0), card)
    sizes = RegressorConfig(width=40, depth=2, heads=12)
    tensors = {f"regressor.{key}": value for key, value in Regressor(sizes, 40, 4).state_dict().items()}
    save_regressor(tmp_path, tensors, RegressorCard(architecture=sizes, encoder_width=40, grid=4))
    (tmp_path / "regressor.json").unlink()
    assert export_checkpoint(tmp_path, "official-large", tmp_path / "x.safetensors") == ""
    shapes = {key: tuple(value.shape) for key, value in load_file(tmp_path / "x.safetensors").items()}
    expected = {key: shape for key, shape in official.pretraining_shapes().items() if not key.startswith("decoder.")}
    assert shapes == expected


def test_export__same_weights_same_bytes(official: Any, tmp_path: Path) -> None:
    there_and_back(tmp_path, official.filled(official.encoder_shapes(40, 2, 4, 4)), "official-base")
    export_checkpoint(tmp_path / "ours", "official-base", tmp_path / "other_name.pth")
    assert (tmp_path / "back.pth").read_bytes() == (tmp_path / "other_name.pth").read_bytes()


def test_export__says_what_a_folder_lacks(official: Any, tmp_path: Path) -> None:
    there_and_back(tmp_path, official.filled(official.encoder_shapes(40, 2, 4, 4)), "official-base")
    with pytest.raises(InputError, match=r"has no regressor\.safetensors, which official-large needs"):
        export_checkpoint(tmp_path / "ours", "official-large", tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"has no model\.json"):
        export_checkpoint(tmp_path / "ours", "official-fine-tuned", tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"has no encoder\.json"):
        export_checkpoint(tmp_path, "timm", tmp_path / "x.pth")
    assert load_encoder(tmp_path / "ours")[1].architecture.heads == 4
