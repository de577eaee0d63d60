from __future__ import annotations

from pathlib import Path

import pytest

from panderm.core.errors import InputError
from panderm.core.record import Record
from panderm.core.terms import SYNTHETIC, UNKNOWN, Input
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, save_encoder
from panderm.training.inputs import encoder_inputs
from panderm.training.interrupted import Change
from panderm.training.recipe import Recipe
from panderm.training.sampling import Sampling
from panderm.training.start import StartConfig

ARCHITECTURE = EncoderConfig(image_size=32, patch_size=8, width=32, depth=1, heads=2)
PLAIN = EncoderCard(architecture=ARCHITECTURE, preprocessing=Preprocessing(size=32, resize=36))


def of(recipe: Recipe, folder: Path) -> tuple[Input, ...]:
    return encoder_inputs(recipe, folder / "corpus", folder / "data")


def begun_with(folder: Path, card: EncoderCard) -> StartConfig:
    save_encoder(folder / "begun", build_untrained_encoder(ARCHITECTURE, 0), card)
    return StartConfig(folder=folder / "begun")


def test_inputs__are_the_data_sets_of_the_corpus_with_their_terms_and_counts(tiny_recipe: Recipe, tiny_corpus: Path) -> None:
    Record(stage="validate", key="one", values={"synthetic": True}).save(tiny_corpus / "data" / "one")
    Record(stage="validate", key="two", values={"licence": "CC-BY-NC-4.0"}).save(tiny_corpus / "data" / "two")
    one = Input(name="one", licence=SYNTHETIC, images=12, synthetic=True)
    two = Input(name="two", licence="CC-BY-NC-4.0", images=12)
    assert of(tiny_recipe, tiny_corpus) == (one, two), "a random teacher has no terms"
    left = tiny_recipe.model_copy(update={"sampling": Sampling(leave_out=("clinical",))})
    assert of(left, tiny_corpus) == (one,), "what is not shown is not learnt from"


@pytest.mark.parametrize(
    ("source", "weights", "licence"),
    [
        ("ViT-L-14-quickgelu@openai", None, "MIT"),
        ("EVA02-L-14@merged2b_s4b_b131k", None, UNKNOWN),
        ("ViT-L-14-quickgelu", Path("some.safetensors"), UNKNOWN),
    ],
)
def test_inputs__of_a_teacher(source: str, weights: Path | None, licence: str, tiny_recipe: Recipe, tiny_corpus: Path) -> None:
    teacher = tiny_recipe.teacher.model_copy(update={"source": source, "weights": weights})
    found = of(tiny_recipe.model_copy(update={"teacher": teacher}), tiny_corpus)
    assert Input(name=f"teacher {source}", licence=licence) in found


def test_inputs__of_a_start_go_on(tiny_recipe: Recipe, tiny_corpus: Path) -> None:
    former = Input(name="mym", licence="in-house", images=7)
    start = begun_with(tiny_corpus, PLAIN.model_copy(update={"inputs": (former,), "licence": "CC-BY-NC-ND-4.0"}))
    found = of(tiny_recipe.model_copy(update={"start": start}), tiny_corpus)
    assert former in found
    assert Input(name="imported weights", licence="CC-BY-NC-ND-4.0") in found


def test_inputs__of_an_older_start_are_not_known(tiny_recipe: Recipe, tiny_corpus: Path) -> None:
    start = begun_with(tiny_corpus, PLAIN.model_copy(update={"corpus_sha256": "c" * 64, "steps": 9}))
    found = of(tiny_recipe.model_copy(update={"start": start}), tiny_corpus)
    assert Input(name="pretraining corpus", licence=UNKNOWN) in found


def test_inputs__hold_what_was_shown_before_a_change(tiny_recipe: Recipe, tiny_corpus: Path) -> None:
    left = tiny_recipe.model_copy(update={"sampling": Sampling(leave_out=("clinical",))})
    change = Change(after_step=5, settings={"sampling.leave_out": ([], ["clinical"])}, sampling={}, seed=0)
    found = encoder_inputs(left, tiny_corpus / "corpus", tiny_corpus / "data", (change,))
    assert [one.name for one in found] == ["one", "two"]


def test_inputs__without_a_corpus(tiny_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.parquet is missing"):
        of(tiny_recipe, tmp_path)


def test_card__older_ones_keep_their_bytes_and_claim_nothing() -> None:
    assert "inputs" not in PLAIN.model_dump(mode="json")
    assert PLAIN.made_from == (), "an untrained encoder is made from nothing"
    trained = EncoderCard.parse(PLAIN.model_dump(mode="json") | {"corpus_sha256": "c" * 64})
    assert trained.made_from == (Input(name="pretraining corpus", licence=UNKNOWN),)
    brought = EncoderCard.parse(PLAIN.model_dump(mode="json") | {"licence": "CC-BY-NC-ND-4.0"})
    assert brought.made_from == (Input(name="imported weights", licence="CC-BY-NC-ND-4.0"),)
