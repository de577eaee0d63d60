from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import VisionTransformer as ClipTower
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from panderm.core.errors import InputError
from panderm.core.files import read_json
from panderm.models.checkpoints.options import ImportOptions
from panderm.models.checkpoints.write import import_checkpoint
from panderm.models.encoder import Encoder, EncoderCard, load_encoder, position_table


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.eval()


def timm_vit(**settings: Any) -> nn.Module:
    sizes: dict[str, Any] = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 5}
    return randomised(VisionTransformer(**(sizes | settings)))


def imported(folder: Path, state: dict[str, Tensor], **options: Any) -> tuple[Encoder, EncoderCard, list[str]]:
    torch.save(state, folder / "file.pth")
    said: list[str] = []
    import_checkpoint(folder / "file.pth", folder / "ours", ImportOptions(heads=4, **options), say=said.append)
    return *load_encoder(folder / "ours"), said


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"init_values": 0.1}, {"qkv_bias": False}, {"no_embed_class": True}])
def test_timm__gives_timms_features(images: Tensor, tmp_path: Path, settings: dict[str, Any]) -> None:
    theirs: Any = timm_vit(**settings)
    ours, card, said = imported(tmp_path, theirs.state_dict())
    torch.testing.assert_close(ours.tokens(images), theirs.forward_features(images), atol=1e-5, rtol=0)
    assert said[-1].startswith("pos_embed is a learnt table; kept from the file and frozen")
    assert card.preprocessing.std == (0.229, 0.224, 0.225)
    rows = read_json(tmp_path / "ours" / "import.json")["keys"]
    assert {row["key"]: row["fate"] for row in rows}["head.weight"] == "kept aside"
    made = {row["to"] for row in rows if row["fate"] == "made"}
    assert ("vit.blocks.0.ls1.gamma" in made) == ("init_values" not in settings)


@torch.no_grad()
def test_timm__a_clip_model_keeps_its_norms_and_activation(images: Tensor, tmp_path: Path) -> None:
    clip = {"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=1e-5), "act_layer": "quick_gelu"}
    theirs: Any = timm_vit(**clip)
    ours, card, said = imported(tmp_path, theirs.state_dict(), activation="quick_gelu")
    torch.testing.assert_close(ours.tokens(images), theirs.forward_features(images), atol=1e-5, rtol=0)
    assert card.architecture.pre_norm
    taken = "the MLPs' activation is taken to be {}, as no tensor tells; --activation says otherwise"
    assert taken.format("quick_gelu") in said
    ours, card, said = imported(tmp_path, theirs.state_dict())  # plain GELU, which timm's quickgelu models do not have
    assert (card.architecture.activation, taken.format("gelu") in said) == ("gelu", True)
    said = imported(tmp_path, timm_vit().state_dict())[2]
    assert not any("activation" in note for note in said)  # a ViT that is no CLIP's has only one


def test_timm__position_tables_by_choice(tmp_path: Path) -> None:
    state = timm_vit().state_dict()
    ours, _, said = imported(tmp_path, state, positions="sincos")
    assert torch.equal(ours.state_dict()["vit.pos_embed"], position_table(4, 32))
    assert "pos_embed is replaced by the recipe's sin-cos table, as asked; the file's is kept aside" in said
    ours, card, said = imported(tmp_path, state, image_size=24)
    assert (card.architecture.image_size, card.preprocessing.size, card.architecture.grid) == (24, 24, 6)
    assert "pos_embed is resized from 4 x 4 to 6 x 6 (bicubic, antialiased) and frozen" in said
    torch.testing.assert_close(ours.state_dict()["vit.pos_embed"][:, 0], state["pos_embed"][:, 0])
    with pytest.raises(InputError, match=r"--image-size 22 is not a multiple of the patch side 4 of file\.pth; 24 is"):
        imported(tmp_path, state, image_size=22)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"reg_tokens": 2}, "pos_embed has 19 rows, which is no square grid of patches and a class token"),
        ({"qk_norm": True}, r"blocks\.0\.attn\.q_norm\.weight has no place"),
        ({"class_token": False, "global_pool": "avg"}, "cls_token is missing"),
    ],
)
def test_timm__refuses_networks_that_ours_cannot_be(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        imported(tmp_path, timm_vit(**settings).state_dict())


@torch.no_grad()
@pytest.mark.parametrize("quick", [True, False])
def test_open_clip__gives_its_towers_tokens(images: Tensor, tmp_path: Path, quick: bool) -> None:
    act = open_clip.transformer.QuickGELU if quick else nn.GELU
    sizes: dict[str, Any] = {"image_size": 16, "patch_size": 4, "width": 32, "layers": 2, "heads": 4, "mlp_ratio": 4.0}
    theirs: Any = randomised(ClipTower(**sizes, output_dim=24, act_layer=act, output_tokens=True))
    extra = {"logit_scale": torch.ones(()), "transformer.resblocks.0.ln_1.weight": torch.ones(8)}
    state = {f"visual.{key}": value for key, value in theirs.state_dict().items()} | extra
    if quick:
        state["input_resolution"] = torch.tensor(16)  # OpenAI's own files have it
    ours, card, said = imported(tmp_path, state)
    expected = theirs.ln_post(theirs.transformer(theirs._embeds(images)))
    torch.testing.assert_close(ours.tokens(images), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.class_token(images) @ theirs.proj, theirs(images)[0], atol=1e-5, rtol=0)
    assert card.preprocessing.interpolation == "bicubic"
    assert any(f"taken to be {'quick_gelu' if quick else 'gelu'}" in note for note in said)
    fates = {row["key"]: row["fate"] for row in read_json(tmp_path / "ours" / "import.json")["keys"]}
    assert (fates["visual.proj"], fates["logit_scale"]) == ("kept aside", "left behind")


def test_usual_widths__tell_the_heads_others_ask(tmp_path: Path) -> None:
    torch.save(timm_vit().state_dict(), tmp_path / "file.pth")
    with pytest.raises(InputError, match="width 32, which no usual ViT has, and no tensor tells its heads; say --heads"):
        import_checkpoint(tmp_path / "file.pth", tmp_path / "ours")
