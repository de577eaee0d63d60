from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_bytes
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.alignment import MaskedAlignment
from panderm.models.checkpoints.options import ImportOptions
from panderm.models.checkpoints.plan import plan_import
from panderm.models.checkpoints.read import Checkpoint
from panderm.models.checkpoints.regressor_file import RegressorCard, load_regressor, regressor_heads
from panderm.models.checkpoints.write import import_checkpoint
from panderm.models.encoder import load_encoder
from panderm.models.regressor import Regressor
from panderm.models.task_model import load_task_model

FOUR_HEADS = ImportOptions(heads=4)


def saved(folder: Path, state: Any, name: str = "official.pth") -> Path:
    torch.save(state, folder / name)
    return folder / name


def imported(folder: Path, state: Any, **more: Any) -> Path:
    import_checkpoint(saved(folder, state), folder / "ours", FOUR_HEADS, say=lambda _: None, **more)
    return folder / "ours"


def checkpoint(state: dict[str, Tensor]) -> Checkpoint:
    return Checkpoint("official.pth", "0" * 64, state, "", "", {}, {}, {}, {})


def stripped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("encoder."): value for key, value in state.items()}


@torch.no_grad()
def test_base_file__gives_the_official_tokens(official: Any, images: Tensor, tmp_path: Path) -> None:
    state = official.filled(official.encoder_shapes(40, 2, 4, 4))
    encoder, card = load_encoder(imported(tmp_path, state))
    expected = official.normed(official.encode(state, images, 4), state, "norm")
    torch.testing.assert_close(encoder.tokens(images), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.class_token(images), expected[:, 0], atol=1e-5, rtol=0)
    assert card.preprocessing == Preprocessing(size=16, resize=18, std=(0.228, 0.224, 0.225))
    assert card.licence == "CC-BY-NC-ND-4.0"
    assert card.origin.startswith("an official encoder, sha256 ")


@torch.no_grad()
def test_large_file__gives_the_official_prediction(official: Any, images: Tensor, tmp_path: Path) -> None:
    state = official.filled(official.pretraining_shapes())
    folder = imported(tmp_path, state)
    hidden = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(n)) < 8 for n in range(3)])
    keep, masked = (mask.nonzero()[:, 1].reshape(3, -1) for mask in (~hidden, hidden))
    encoder, card = load_encoder(folder)
    inner = stripped(state)
    latents = official.normed(official.encode(inner, images, 4, hidden), inner, "norm")
    torch.testing.assert_close(encoder.visible(images, keep), latents, atol=1e-5, rtol=0)
    sizes = RegressorCard.parse(read_json(folder / "regressor.json"))
    assert (sizes.architecture.heads, sizes.architecture.width, sizes.teacher_width) == (12, 40, 24)
    model = MaskedAlignment(encoder, Regressor(sizes.architecture, 40, 4), 24)
    model.load_state_dict({f"encoder.{k}": v for k, v in encoder.state_dict().items()} | load_regressor(folder), strict=True)
    predicted = official.regress(state, latents[:, 1:], hidden, 12)
    torch.testing.assert_close(model.eval().regressor(latents[:, 1:], keep, masked), predicted, atol=1e-5, rtol=0)
    expected = official.linear(
        official.normed(torch.cat([latents, predicted], 1), state, "decoder.norm"), state, "decoder.head"
    )
    torch.testing.assert_close(model.predict(images, keep, masked), expected, atol=1e-5, rtol=0)
    assert card.architecture.heads == 4


@torch.no_grad()
@pytest.mark.parametrize("biased", [True, False])
def test_fine_tuned_file__gives_the_official_logits(official: Any, images: Tensor, tmp_path: Path, biased: bool) -> None:
    state = official.fine_tuned_state(biased)
    nested = {"model": state, "optimizer": {"state": {}, "param_groups": []}, "epoch": "best"}
    folder = imported(tmp_path, nested, task="pad_ufes")
    model = load_task_model(folder)
    torch.testing.assert_close(model.logits(images), official.fine_tuned_logits(state, images, biased), atol=1e-5, rtol=0)
    assert model.card.relative_position_bias is biased
    assert model.card.licence == "CC-BY-NC-ND-4.0"
    assert model.card.split_sha256 == ""  # so that no evaluation takes it for a model of its own split
    fates = {row["key"]: row["fate"] for row in read_json(folder / "import.json")["keys"]}
    assert (fates["optimizer"], fates["epoch"], fates["head.weight"]) == ("left behind", "left behind", "mapped")


def test_import__accounts_for_every_key(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.pretraining_shapes())
    folder = imported(tmp_path, state)
    rows = read_json(folder / "import.json")["keys"]
    assert sorted(row["key"] for row in rows) == sorted(state)
    aside = [row["key"] for row in rows if row["fate"] == "kept aside"]
    assert aside == ["rd_pos_embed", "regresser.norm.weight", "regresser.norm.bias"]
    assert sorted(load_file(folder / "aside.safetensors")) == sorted(aside)
    assert {row["fate"] for row in rows} == {"mapped", "kept aside"}
    assert regressor_heads(folder) == 12


def test_import__twice_gives_the_same_bytes(official: Any, tmp_path: Path) -> None:
    folder = imported(tmp_path, official.filled(official.pretraining_shapes()))
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    import_checkpoint(tmp_path / "official.pth", folder, FOUR_HEADS, say=lambda _: None)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop("encoder.blocks.1.attn.q_bias"), r"encoder\.blocks\.1\.attn\.q_bias is missing"),
        (lambda s: s.update({"encoder.cls_tokn": s["mask_token"]}), r"encoder\.cls_tokn has no place"),
        (
            lambda s: s.update({"mask_token": torch.zeros(1, 1, 44)}),
            r"encoder_to_regresser\.weight is missing; .* and \d+ more",
        ),
        (lambda s: s.update({"decoder.blocks.0.x": s["mask_token"]}), r"decoder\.blocks\.0\.x has no place"),
        (lambda s: s.update({"encoder.norm.bias": torch.zeros(41)}), r"encoder\.norm\.bias is 41 where 40 is needed"),
        (lambda s: s.update({"rd_pos_embed": s["rd_pos_embed"] + 0.1}), "differs from the sin-cos table by 1.0e-01"),
        (lambda s: s.pop("encoder.pos_embed"), r"lacks encoder\.pos_embed, so its sizes cannot be read"),
    ],
)
def test_import__refuses_and_names_the_key(official: Any, tmp_path: Path, change: Any, sentence: str) -> None:
    state = official.filled(official.pretraining_shapes())
    change(state)
    with pytest.raises(InputError, match=sentence):
        imported(tmp_path, state)
    assert not (tmp_path / "ours").exists()


def test_import__says_where_the_position_table_is_another(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.encoder_shapes(40, 2, 4, 4))
    state["pos_embed"] = state["pos_embed"] + 0.5
    said: list[str] = []
    import_checkpoint(saved(tmp_path, state), tmp_path / "ours", FOUR_HEADS, say=said.append)
    assert said == ["pos_embed is not the sin-cos table (largest difference 5.0e-01); kept from the file, frozen"]
    encoder, _ = load_encoder(tmp_path / "ours")
    assert torch.equal(encoder.state_dict()["vit.pos_embed"], state["pos_embed"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_file_in_half_precision__is_widened_and_its_tables_are_known(official: Any, tmp_path: Path, dtype: Any) -> None:
    """Tables computed in another way differ by up to 9.5e-7, which can round the other way: a step of half precision apart."""
    state = official.filled(official.pretraining_shapes())
    for key in ("rd_pos_embed", "encoder.pos_embed"):
        state[key] = state[key] + 9.5e-7 * torch.linspace(-1, 1, state[key].numel()).view_as(state[key]).sign()
    halved = {key: value.to(dtype) for key, value in state.items()}
    said: list[str] = []
    import_checkpoint(saved(tmp_path, halved), tmp_path / "ours", FOUR_HEADS, say=said.append)
    assert any(note.startswith(f"encoder.pos_embed is the sin-cos table as {str(dtype)[6:]} holds it") for note in said)
    encoder, _ = load_encoder(tmp_path / "ours")
    assert torch.equal(encoder.state_dict()["vit.norm.weight"], halved["encoder.norm.weight"].float())
    halved["rd_pos_embed"] = (state["rd_pos_embed"] + 0.01).to(dtype)
    with pytest.raises(InputError, match="rd_pos_embed differs from the sin-cos table by 1"):
        import_checkpoint(saved(tmp_path, halved), tmp_path / "other", FOUR_HEADS)


def test_import__says_that_an_averaged_copy_is_left_behind(official: Any, tmp_path: Path) -> None:
    state = official.filled(official.pretraining_shapes())
    said: list[str] = []
    file = saved(tmp_path, {"model": state, "model_ema": state, "epoch": 3, "max_accuracy": 0.5})
    import_checkpoint(file, tmp_path / "ours", FOUR_HEADS, say=said.append)
    assert "model_ema (a dictionary of 86 entries) is left behind: the weights under model are taken, not their average" in said
    fates = {row["key"]: row["fate"] for row in read_json(tmp_path / "ours" / "import.json")["keys"]}
    assert (fates["model_ema"], fates["max_accuracy"], fates["epoch"]) == ("left behind",) * 3


def test_import__of_the_encoder_alone_names_what_it_leaves(official: Any, tmp_path: Path) -> None:
    file = saved(tmp_path, official.filled(official.pretraining_shapes()))
    record = import_checkpoint(file, tmp_path / "ours", ImportOptions(heads=4, parts="encoder"), say=lambda _: None)
    assert record.counts == {"mapped": 36, "left_behind": 50}
    assert not (tmp_path / "ours" / "regressor.safetensors").exists()


def test_import__fine_tuned_needs_its_task_and_classes(official: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with 6 outputs; say its task with --task"):
        imported(tmp_path, official.fine_tuned_state(True))
    with pytest.raises(InputError, match="has 6 outputs, but the named ones are a, b and those of pad_ufes are "):
        imported(tmp_path, official.fine_tuned_state(True), task="pad_ufes", classes=("a", "b"))
    wrong = official.fine_tuned_state(True)
    wrong["blocks.0.attn.relative_position_index"] = wrong["blocks.0.attn.relative_position_index"].T.contiguous()
    with pytest.raises(InputError, match=r"blocks\.0\.attn\.relative_position_index numbers the relative positions otherwise"):
        imported(tmp_path, wrong, task="pad_ufes")


def test_import__fine_tuned_is_bound_to_the_split_it_may_be_judged_on(official: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split\.parquet is missing"):
        imported(tmp_path, official.fine_tuned_state(False), task="pad_ufes", split=tmp_path / "split")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "split.parquet").write_bytes(b"rows")
    folder = imported(tmp_path, official.fine_tuned_state(False), task="pad_ufes", split=tmp_path / "split")
    assert load_task_model(folder).card.split_sha256 == sha256_bytes(b"rows")


def test_import__replaces_no_folder_of_another_kind(official: Any, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "encoder.safetensors").write_text("five days of training")
    with pytest.raises(InputError, match="holds something that is no former import"):
        imported(tmp_path, official.filled(official.encoder_shapes(40, 2, 4, 4)))


def meta(shapes: dict[str, tuple[int, ...]], sincos: Any) -> dict[str, Tensor]:
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    return state | {key: sincos(14, shape[2]) for key, shape in shapes.items() if key.endswith("pos_embed")}


def test_released_large_file__has_458_keys_that_all_find_their_place(official: Any) -> None:
    shapes = official.pretraining_shapes(width=1024, depth=24, patch=16, grid=14, regressor_depth=4, inner=1020, teacher=768)
    assert len(shapes) == 458
    assert round(sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6, 2) == 354.66
    plan = plan_import(checkpoint(meta(shapes, official.sincos)))
    assert plan.problems == []
    assert plan.counts() == {"mapped": 455, "kept aside": 3}
    assert (plan.architecture.width, plan.architecture.depth, plan.architecture.heads) == (1024, 24, 16)
    assert plan.regressor is not None
    assert (plan.regressor.heads, plan.regressor.depth, plan.teacher_width) == (12, 4, 768)
    without = {key: value for key, value in meta(shapes, official.sincos).items() if not key.startswith("decoder.")}
    plan = plan_import(checkpoint(without))
    assert (len(without), plan.problems, plan.teacher_width) == (454, [], None)


def test_released_large_file__sixteen_heads_of_64_are_read_too(official: Any) -> None:
    shapes = official.pretraining_shapes(width=1024, depth=24, patch=16, grid=14, regressor_depth=4, inner=1024, teacher=768)
    plan = plan_import(checkpoint(meta(shapes, official.sincos)))
    assert plan.problems == []
    assert plan.regressor is not None
    assert plan.regressor.heads == 16


def test_released_base_file__has_186_keys_that_all_find_their_place(official: Any) -> None:
    shapes = official.encoder_shapes(768, 12, 16, 14)
    assert len(shapes) == 186
    plan = plan_import(checkpoint(meta(shapes, official.sincos)))
    assert (plan.problems, plan.counts()) == ([], {"mapped": 186})
    assert (plan.architecture.width, plan.architecture.depth, plan.architecture.heads) == (768, 12, 12)
