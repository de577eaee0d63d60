from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from panderm.core.errors import InputError
from panderm.models.teacher import RANDOM_NOTE, RandomTower, TeacherConfig, build_teacher, resize_positions
from panderm.models.teacher_weights import repository_files

TOWER = RandomTower(patch_size=8, width=32, layers=2, heads=4, output_width=24)
RANDOM = TeacherConfig(source="random", image_size=32, random=TOWER)


@pytest.fixture
def small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A CLIP model of a few kilobytes, known to open_clip by name for the length of a test."""
    from open_clip import factory

    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 48, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / "Small.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "Small.json")
    return "Small"


def weights_of(model: Any, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path


def test_teacher__answers_with_every_projected_token() -> None:
    teacher = build_teacher(RANDOM, grid=4)
    x = torch.randn(2, 3, 32, 32)
    teacher.tower.output_tokens = True
    pooled, tokens = teacher.tower(x)
    expected = torch.cat([pooled.unsqueeze(1), tokens @ teacher.tower.proj], 1)
    assert torch.allclose(teacher(x), expected, atol=1e-6)
    assert teacher(x).shape == (2, 17, teacher.width) == (2, 17, 24)


def test_teacher__is_frozen_and_never_trains() -> None:
    teacher = build_teacher(RANDOM, grid=4).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher(torch.zeros(1, 3, 32, 32)).requires_grad


def test_random_teacher__is_seeded_and_says_what_it_is() -> None:
    x = torch.randn(1, 3, 32, 32)
    first, same = build_teacher(RANDOM, grid=4), build_teacher(RANDOM, grid=4)
    other = build_teacher(RANDOM.model_copy(update={"random": TOWER.model_copy(update={"seed": 1})}), grid=4)
    assert torch.equal(first(x), same(x))
    assert not torch.allclose(first(x), other(x))
    assert first.note == RANDOM_NOTE == "random teacher: not clinically meaningful"


def test_build_teacher__a_wrong_grid_names_the_size_that_fits() -> None:
    with pytest.raises(InputError, match="at 48 px gives 6 patches a side, but the student has 4; set its image_size to 32"):
        build_teacher(RANDOM.model_copy(update={"image_size": 48}), grid=4)


def test_resize_positions__is_plain_bilinear_between_centres() -> None:
    table = torch.arange(1.0, 18.0).unsqueeze(1)  # class row 1, then 2..17 in a 4 x 4 grid
    resized = resize_positions(table, 2)
    grid = table[1:].reshape(4, 4)
    expected = torch.stack([grid[0:2, 0:2].mean(), grid[0:2, 2:4].mean(), grid[2:4, 0:2].mean(), grid[2:4, 2:4].mean()])
    assert torch.allclose(resized[:, 0], torch.cat([torch.tensor([1.0]), expected]))
    assert resize_positions(table, 4) is table


def test_build_teacher__from_a_file_resizes_its_table(tmp_path: Path, small_model: str) -> None:
    model = open_clip.create_model(small_model)
    path = weights_of(model, tmp_path / "small.safetensors")
    teacher = build_teacher(TeacherConfig(source=small_model, weights=path, image_size=32), grid=4)
    table = model.visual.positional_embedding.detach()
    assert torch.equal(teacher.tower.positional_embedding, resize_positions(table, 4))
    assert torch.equal(teacher.tower.proj, model.visual.proj)
    native = build_teacher(TeacherConfig(source=small_model, weights=path, image_size=48), grid=6)
    x = torch.randn(1, 3, 48, 48)
    assert torch.allclose(native(x)[:, 0], model.eval().visual(x), atol=1e-6)


def test_build_teacher__keeps_no_text_half(tmp_path: Path, small_model: str) -> None:
    path = weights_of(open_clip.create_model(small_model), tmp_path / "small.safetensors")
    teacher = build_teacher(TeacherConfig(source=small_model, weights=path, image_size=48), grid=6)
    assert not any("token_embedding" in name for name, _ in teacher.named_parameters())


def test_build_teacher__refuses_weights_of_another_model(tmp_path: Path, small_model: str) -> None:
    model = open_clip.create_model(small_model)
    del model.visual.proj
    path = weights_of(model, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not hold the weights of Small"):
        build_teacher(TeacherConfig(source=small_model, weights=path, image_size=48), grid=6)


def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's real client find an empty cache, and nobody where the hub should be."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:1/{repo_id}/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("it tries for half a minute"))


def test_build_teacher__offline_says_what_to_fetch_and_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(tmp_path, monkeypatch)
    message = "fetch open_clip_model.safetensors of timm/vit_large_patch14_clip_224.openai.*set teacher.weights to the file"
    with pytest.raises(InputError, match=message):
        build_teacher(TeacherConfig(), grid=14)


@pytest.mark.parametrize(("hub", "file"), [("org/name/", "open_clip_model.safetensors"), ("org/name/own.pt", "own.pt")])
def test_build_teacher__takes_what_the_hub_has_cached_of_a_tag(
    tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, hub: str, file: str
) -> None:
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_: pytest.fail("the hub was asked"))
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda *_: {"hf_hub": hub, "mean": (0.1, 0.2, 0.3), "quick_gelu": True}
    )
    place, commit = tmp_path / "models--org--name", "0" * 40
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit).mkdir(parents=True)
    model = open_clip.create_model(small_model)
    path = place / "snapshots" / commit / file
    weights_of(model, path) if path.suffix == ".safetensors" else torch.save(model.state_dict(), path)
    teacher = build_teacher(TeacherConfig(source=f"{small_model}@tag", image_size=48), grid=6)
    assert teacher.preprocessing.mean == (0.1, 0.2, 0.3)
    assert torch.equal(teacher.tower.proj, model.visual.proj)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ViT-L14@openai", "unknown open_clip model 'ViT-L14'; allowed: ViT-L-14"),
        ("ViT-L-14-quickgelu@openia", "unknown pretrained tag of ViT-L-14-quickgelu 'openia'; allowed: openai"),
        ("ViT-L-14@openai", "other GELU; write ViT-L-14-quickgelu@openai"),
        ("ViT-L-14", "names no weights; write ViT-L-14@TAG"),
        ("local-dir:nowhere", "nowhere has no open_clip_config.json and .*; fetch the repository's files into that folder"),
        ("ViT-B-16-SigLIP@webli", "does not give one projected token a patch and a class token; name a ViT with a class token"),
        ("RN50-quickgelu@openai", "does not give one projected token a patch"),
        ("ViT-L-14-CLIPA@datacomp1b", "does not give one projected token a patch"),
        (
            "ViT-B-32@laion2b_s34b_b79k",
            "at 196 px gives 6.125 patches a side, but the student has 14; set its image_size to 448",
        ),
    ],
)
def test_build_teacher__refuses_in_one_sentence_before_it_fetches(
    source: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_: pytest.fail("it was fetched"))
    with pytest.raises(InputError, match=message):
        build_teacher(TeacherConfig(source=source), grid=14)


@pytest.mark.parametrize("form", ["image half as safetensors", "image half as pt", "whole model in a training file"])
def test_build_teacher__takes_a_file_of_all_or_of_the_image_half(tmp_path: Path, small_model: str, form: str) -> None:
    model = open_clip.create_model(small_model)
    path = tmp_path / "weights.pt"
    if form == "image half as safetensors":
        path = weights_of(model.visual, tmp_path / "weights.safetensors")
    elif form == "image half as pt":
        torch.save(model.visual.state_dict(), path)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}, path)
    teacher = build_teacher(TeacherConfig(source=small_model, weights=path, image_size=48), grid=6)
    x = torch.randn(1, 3, 48, 48)
    assert torch.allclose(teacher(x)[:, 0], model.eval().visual(x), atol=1e-6)


def openai_file(model: Any, path: Path) -> Path:
    """OpenAI's own files hold three numbers beside the weights."""
    numbers = {"input_resolution": torch.tensor(48), "context_length": torch.tensor(8), "vocab_size": torch.tensor(64)}
    torch.save(model.state_dict() | numbers, path)
    return path


def test_build_teacher__refuses_openais_own_file_for_a_model_of_the_other_gelu(tmp_path: Path, small_model: str) -> None:
    """Their tensors are alike to the last key, so nothing else would tell."""
    described = open_clip.get_model_config(small_model)
    for name, quick in (("Other", False), ("Other-quickgelu", True)):
        (tmp_path / f"{name}.json").write_text(json.dumps(described | {"quick_gelu": quick}))
        open_clip.add_model_config(tmp_path / f"{name}.json")
    path = openai_file(open_clip.create_model("Other"), tmp_path / "ViT.pt")
    sentence = (
        r"ViT\.pt is OpenAI's own file, trained with QuickGELU, but Other has the other GELU; set teacher.source to Other-q"
    )
    with pytest.raises(InputError, match=sentence):
        build_teacher(TeacherConfig(source="Other", weights=path, image_size=48), grid=6)
    teacher = build_teacher(TeacherConfig(source="Other-quickgelu", weights=path, image_size=48), grid=6)
    assert type(teacher.tower.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    own = weights_of(open_clip.create_model("Other"), tmp_path / "own.safetensors")
    assert build_teacher(TeacherConfig(source="Other", weights=own, image_size=48), grid=6).width == 24


def test_build_teacher__refuses_openais_own_file_in_a_folder_that_describes_the_other_gelu(
    tmp_path: Path, small_model: str
) -> None:
    openai_file(open_clip.create_model(small_model), tmp_path / "open_clip_pytorch_model.bin")
    model = open_clip.get_model_config(small_model)
    source = TeacherConfig(source=f"local-dir:{tmp_path}", image_size=48)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model | {"quick_gelu": False}}))
    with pytest.raises(InputError, match=r"the other GELU; set quick_gelu to true in the open_clip_config\.json beside it"):
        build_teacher(source, grid=6)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    assert build_teacher(source, grid=6).width == 24


def test_build_teacher__says_how_a_file_is_another_models(tmp_path: Path, small_model: str) -> None:
    tensors = open_clip.create_model(small_model).visual.state_dict()
    tensors["head.weight"] = tensors.pop("proj")
    tensors["conv1.weight"] = torch.zeros(64, 3, 16, 16)
    torch.save(tensors, tmp_path / "other.pt")
    message = "does not hold the weights of Small: it lacks proj, has head.weight too many, has another size of conv1.weight"
    with pytest.raises(InputError, match=message):
        build_teacher(TeacherConfig(source=small_model, weights=tmp_path / "other.pt", image_size=48), grid=6)
    (tmp_path / "junk.pt").write_bytes(b"not a file of weights")
    with pytest.raises(InputError, match=r"junk.pt is not a torch or safetensors file, or breaks off; fetch the file again"):
        build_teacher(TeacherConfig(source=small_model, weights=tmp_path / "junk.pt", image_size=48), grid=6)


def test_build_teacher__from_a_folder_takes_its_own_mean(tmp_path: Path, small_model: str) -> None:
    model = open_clip.create_model(small_model)
    weights_of(model, tmp_path / "open_clip_model.safetensors")
    seen = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    described = {"model_cfg": open_clip.get_model_config(small_model), "preprocess_cfg": seen}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(described))
    teacher = build_teacher(TeacherConfig(source=f"local-dir:{tmp_path}", image_size=32), grid=4)
    assert (teacher.preprocessing.mean, teacher.preprocessing.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert torch.equal(teacher.tower.proj, model.visual.proj)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no open_clip_model\.safetensors or open_clip_pytorch_model\.bin; fetch"):
        build_teacher(TeacherConfig(source=f"local-dir:{tmp_path}", image_size=32), grid=4)


def test_build_teacher__the_hub_away_says_what_to_fetch_and_where_the_cache_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    monkeypatch.setenv("HF_HUB_CACHE", "the/cache")
    message = (
        r"fetch open_clip_config.json and open_clip_model.safetensors of org/name on the Hugging Face hub into a folder and "
        r"set teacher.source to local-dir:FOLDER, or fill the hub's cache \(\$HF_HUB_CACHE, now the/cache\)"
    )
    with pytest.raises(InputError, match=message):
        build_teacher(TeacherConfig(source="hf-hub:org/name"), grid=14)


def test_repository_files__takes_what_the_hub_has_cached_without_asking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def asked(*_args: object, **_kwargs: object) -> str:
        raise AssertionError("the hub was asked")

    for name in ("get_hf_file_metadata", "hf_hub_download"):
        monkeypatch.setattr(huggingface_hub, name, asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place, commit = tmp_path / "models--org--name", "0" * 40
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit).mkdir(parents=True)
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (place / "snapshots" / commit / name).write_text("{}")
    found = repository_files("hf-hub:org/name", None)
    assert {name: path.name for name, path in found.items()} == {
        "open_clip_config.json": "open_clip_config.json",
        "weights": "open_clip_model.safetensors",
    }


@pytest.mark.parametrize("trunk", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"])
def test_build_teacher__a_timm_trunk_answers_with_every_projected_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trunk: str
) -> None:
    from open_clip import factory
    from open_clip.model import _build_vision_tower

    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    vision = {"timm_model_name": trunk, "timm_pool": "token", "timm_proj": "linear", "image_size": 224}
    (tmp_path / "Trunk.json").write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": {}}))
    open_clip.add_model_config(tmp_path / "Trunk.json")
    tower = _build_vision_tower(24, vision).eval()
    path = weights_of(tower, tmp_path / "trunk.safetensors")
    patch = 16 if "16" in trunk else 14
    teacher = build_teacher(TeacherConfig(source="Trunk", weights=path, image_size=224), grid=224 // patch)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(teacher(x)[:, 0], tower(x), atol=1e-5)
    smaller = build_teacher(TeacherConfig(source="Trunk", weights=path, image_size=4 * patch), grid=4)
    assert smaller(torch.randn(2, 3, 4 * patch, 4 * patch)).shape == (2, 17, 24)
