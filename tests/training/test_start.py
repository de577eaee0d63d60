from __future__ import annotations

from pathlib import Path

import pytest
import torch

from panderm import pretrain
from panderm.core.errors import InputError
from panderm.models.alignment import MaskedAlignment
from panderm.models.checkpoints.regressor_file import RegressorCard, save_regressor
from panderm.models.encoder import EncoderCard, load_encoder, save_encoder
from panderm.training.place import Place
from panderm.training.pretrain_worker import FINAL, Job, Pretraining, build_model
from panderm.training.recipe import Recipe
from panderm.training.start import StartConfig, inherited, start_hashes

TEACHER = 24


@pytest.fixture
def begun(tiny_recipe: Recipe, tmp_path: Path) -> Path:
    """A folder as an import writes it: encoder, regressor and head of another seed, under somebody's terms."""
    other = build_model(tiny_recipe.model_copy(update={"seed": 9}), TEACHER)
    folder = tmp_path / "begun"
    folder.mkdir()
    card = EncoderCard(architecture=tiny_recipe.encoder, preprocessing=tiny_recipe.preprocessing, licence="CC-BY-NC-ND-4.0")
    save_encoder(folder, other.encoder, card)
    tensors = {name: tensor for name, tensor in other.state_dict().items() if not name.startswith("encoder.")}
    sizes = RegressorCard(architecture=tiny_recipe.regressor, encoder_width=32, grid=4, teacher_width=TEACHER)
    save_regressor(folder, tensors, sizes)
    return folder


def started(recipe: Recipe, folder: Path, parts: str) -> Recipe:
    return Recipe.parse(recipe.model_dump(mode="json") | {"start": {"folder": str(folder), "parts": parts}})


def same(first: MaskedAlignment, second: MaskedAlignment, part: str) -> bool:
    ours, theirs = first.get_submodule(part).state_dict(), second.get_submodule(part).state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("parts", "taken"),
    [
        ("encoder", {"encoder": True, "regressor": False, "head": False}),
        ("encoder_and_regressor", {"encoder": True, "regressor": True, "head": False}),
        ("all", {"encoder": True, "regressor": True, "head": True}),
    ],
)
def test_start__fills_the_parts_asked_for(tiny_recipe: Recipe, begun: Path, parts: str, taken: dict[str, bool]) -> None:
    model = build_model(started(tiny_recipe, begun, parts), TEACHER)
    source = build_model(tiny_recipe.model_copy(update={"seed": 9}), TEACHER)
    plain = build_model(tiny_recipe, TEACHER)
    assert {part: same(model, source, part) for part in taken} == taken
    assert all(same(model, plain, part) for part, it in taken.items() if not it)


@pytest.mark.parametrize(
    ("change", "parts", "sentence"),
    [
        ({"encoder": {"depth": 3}}, "encoder", "depth is 2, the recipe's 3"),
        ({"encoder": {"heads": 2}}, "encoder", r"heads is 4, the recipe's 2\); set overrides\.encoder"),
        ({"regressor": {"heads": 4}}, "all", r"has 3 heads, the recipe's 4; set overrides\.regressor\.heads to 3"),
        ({"regressor": {"depth": 2}}, "all", r"blocks\.1\.\S+: none in the file"),
    ],
)
def test_start__refuses_other_sizes_and_names_both(
    tiny_recipe: Recipe, begun: Path, change: dict[str, dict[str, int]], parts: str, sentence: str
) -> None:
    values = started(tiny_recipe, begun, parts).model_dump(mode="json")
    for key, inner in change.items():
        values[key] |= inner
    with pytest.raises(InputError, match=sentence):
        build_model(Recipe.parse(values), TEACHER)


def test_start__refuses_another_teachers_head_but_not_the_rest(tiny_recipe: Recipe, begun: Path) -> None:
    with pytest.raises(InputError, match=r"the head in .* \(linear\.bias: 24 in the file, 16 in the recipe\)"):
        build_model(started(tiny_recipe, begun, "all"), 16)
    build_model(started(tiny_recipe, begun, "encoder_and_regressor"), 16)


def test_start__needs_a_regressor_only_where_it_is_asked_for(tiny_recipe: Recipe, begun: Path) -> None:
    (begun / "regressor.safetensors").unlink()
    build_model(started(tiny_recipe, begun, "encoder"), TEACHER)
    with pytest.raises(InputError, match=r"holds an encoder alone; set start\.parts to encoder"):
        start_hashes(StartConfig(folder=begun, parts="all"))


def test_identity__knows_the_weights_and_not_their_place(tiny_recipe: Recipe, begun: Path) -> None:
    before = pretrain._named(tiny_recipe)
    assert "start" not in before  # identities of earlier versions stay the same
    named = pretrain._named(started(tiny_recipe, begun, "all"))
    moved = begun.rename(begun.with_name("moved"))
    assert pretrain._named(started(tiny_recipe, moved, "all")) == named
    assert sorted(named["start"]) == ["encoder", "parts", "regressor"]
    assert pretrain._named(started(tiny_recipe, moved, "encoder")) != named


def test_training__goes_on_from_it_and_passes_on_the_terms(tiny_recipe: Recipe, tiny_corpus: Path, begun: Path) -> None:
    once = tiny_recipe.model_copy(update={"optimisation": tiny_recipe.optimisation.model_copy(update={"epochs": 1})})
    work = tiny_corpus / "work"
    work.mkdir()
    job = Job(
        recipe=started(once, begun, "all"),
        preset="tiny",
        corpus=tiny_corpus / "corpus",
        corpus_sha256="c" * 64,
        data=tiny_corpus / "data",
        work=work,
        threads=1,
        workers=0,
        device="cpu",
    )
    Pretraining(job, Place(rank=0, world=1, device=torch.device("cpu"))).run()
    _, card = load_encoder(work / FINAL)
    assert card.licence == "CC-BY-NC-ND-4.0"
    assert card.origin == inherited(job.recipe.start)["origin"]
    assert card.origin.startswith("started from encoder ")
