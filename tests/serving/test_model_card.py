from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from panderm import evaluate, export, finetune, release
from panderm.catalog import benchmark
from panderm.core.files import read_json, sha256_file
from panderm.core.record import Record
from panderm.core.tables import CORPUS, SPLIT, empty, to_table, write_table
from panderm.core.terms import SYNTHETIC, Input
from panderm.evaluation.tables import METRICS
from panderm.evaluation.verdict import Criterion, Outcome, Verdict, load_verdict
from panderm.models.encoder import EncoderCard, EncoderConfig, load_card, load_encoder, save_encoder
from panderm.models.task_model import ModelCard, load_model_card
from panderm.serving import bundle as bundles
from panderm.serving import model_configs
from panderm.serving import repository as repo
from panderm.serving.card_facts import CardFacts
from panderm.serving.card_limits import limits
from panderm.serving.model_card import as_markdown, of_version
from panderm.training.inputs import encoder_inputs
from panderm.training.recipe import preset

TASK = benchmark("ham10000")
OWN = Input(name="benchmarks/ham10000", licence="CC-BY-NC-4.0", images=80)
MakeFacts = Callable[..., CardFacts]


def split(**columns: list[Any]) -> pd.DataFrame:
    """Four training and four test images, of eight patients."""
    frame = pd.DataFrame({"image_id": [f"i{index}" for index in range(8)], "split": ["train"] * 4 + ["test"] * 4})
    frame["label"], frame["group"] = ["mel", "nv"] * 4, [f"p{index}" for index in range(8)]
    frame["patient_id"] = [f"isic:{index}" for index in range(8)]
    frame["sex"], frame["age"] = ["female", "male"] * 4, [30.0, 50.0, 70.0, 70.0] * 2
    return to_table(frame.assign(**columns), SPLIT).to_pandas()


def figure(scope: str, name: str, reason: str | None = None, n: int = 4, groups: int = 4) -> dict[str, Any]:
    bare = {"scope": scope, "name": name, "metric": "weighted_f1", "value": 0.7, "n": n, "groups": groups, "reason": reason}
    return bare | ({} if reason else {"low": 0.6, "high": 0.8})


@pytest.fixture
def make_facts(make_bundle: Callable[..., Path]) -> MakeFacts:
    """Return a maker of what a card tells, made by hand; ``inputs`` go into the bundle, the rest replaces fields."""

    def make(*, inputs: tuple[Input, ...] = (OWN,), figures: list[dict[str, Any]] | None = None, **changes: Any) -> CardFacts:
        folder = make_bundle()
        bundle = bundles.load_bundle(folder).model_copy(update={"inputs": inputs})
        spec, body = bundles.load_preprocessing(folder), EncoderConfig(image_size=32, patch_size=16, width=16, depth=1, heads=2)
        model = ModelCard(
            task=TASK.key,
            protocol="linear_probe",
            classes=TASK.classes,
            preprocessing=spec,
            architecture=body,
            encoder_sha256=bundle.encoder_sha256,
            weights="head.safetensors",
            weights_sha256="e" * 64,
            split_sha256=bundle.split_sha256,
            config={},
        )
        report = read_json(folder / "report.json") | {"n": 4, "groups": 4}
        table = to_table(pd.DataFrame(figures), METRICS).to_pandas() if figures else empty(METRICS)
        encoder = EncoderCard(architecture=body, preprocessing=spec, steps=10, teacher="some tower", inputs=inputs)
        facts = CardFacts(TASK, bundle, model, encoder, report, table, load_verdict(folder), split(), None, None)
        return facts._replace(**changes)

    return make


def test_card__names_a_subgroup_and_a_class_with_too_few(make_facts: MakeFacts) -> None:
    few = "8 patients or lesions, an interval needs 15"
    rows = [figure("overall", ""), figure("subgroup", "sex=male", few, 12, 8), figure("subgroup", "sex=female")]
    found = list(limits(make_facts(figures=[*rows, figure("class", "mel", few, 9, 8)])))
    assert f"Too little is known of sex male: 12 test images give no interval ({few})." in found
    assert f"Too little is known of class mel: 9 test images give no interval ({few})." in found
    assert not any("sex female" in limit for limit in found)


def test_card__names_what_the_test_split_has_not(make_facts: MakeFacts) -> None:
    rows = split(
        sex=["female", "male", "female", "male", "female", "female", "female", None],
        skin_type=[None] * 4 + ["I-II", "I-II", "III", None],
        site=["palm", "back", "back", "back", "back", "back", "back", "back"],
        age=[30.0] * 4 + [None] * 4,
        patient_id=["isic:1"] * 4 + [None, None, "isic:2", "isic:3"],
    )
    report = {"metric": "weighted_f1", "value": 0.7, "low": 0.6, "absent_classes": ["df", "vasc"]}
    found = " ".join(limits(make_facts(rows=rows, report=report)))
    for sentence in (
        "No test image of df, vasc: nothing is known",
        "No test image with sex male.",
        "Of 1 of 4 test images the sex is not known.",
        "No test image with skin type IV, V, VI.",
        "No test image with site palm.",
        "Nothing is known by age: no test image says it.",
        "2 of 4 test images name no patient",
        "no images but dermoscopic ones (not: tbp, clinical, dermatopathology)",
    ):
        assert sentence in found, sentence


def test_card__says_what_the_encoder_has_not_seen(make_facts: MakeFacts) -> None:
    inputs = (OWN, Input(name="edu1", licence="in-house", images=9))
    assert "No source of the encoder's corpus holds dermoscopic images." in list(limits(make_facts(inputs=inputs)))
    assert any("does not lie beside it" in limit for limit in limits(make_facts(encoder=None)))


def test_card__marks_synthetic_data_in_its_first_lines(make_facts: MakeFacts) -> None:
    drawn = (
        Input(name="benchmarks/ham10000", licence=SYNTHETIC, images=80, synthetic=True),
        OWN.model_copy(update={"name": "b"}),
    )
    first = as_markdown(make_facts(inputs=drawn)).splitlines()[2]
    assert first.startswith(
        "**Synthetic.** A program drew the images of 1 of the 2 data sets behind this model (benchmarks/ham10000)"
    )
    assert "say nothing about patients" in first
    assert "Synthetic" not in as_markdown(make_facts())


def test_card__quotes_figures_verdict_terms_and_the_way_back(make_facts: MakeFacts) -> None:
    how = {"replicates": 1000, "level": 0.95, "bootstrap": "clustered", "interval": "studentised"}
    others = {"calibration_error": {"value": 0.05, "low": 0.01, "high": 0.1}, "brier": {"value": None}}
    facts = make_facts(figures=[figure("overall", ""), figure("subgroup", "sex=male")])
    facts = facts._replace(report=facts.report | how | {"others": others})
    card = as_markdown(facts)
    for fragment in (
        "Research software, not a medical device. May not be used commercially: benchmarks/ham10000 (CC-BY-NC-4.0).",
        "**weighted f1 0.700 (0.600 to 0.800)** on 4 images of 4 patients, lesions or images. Intervals",
        "Calibration (0 is best): calibration error 0.050 (0.010 to 0.100); brier undefined.",
        "| sex=male | weighted f1 | 0.700 (0.600 to 0.800) | 4 | 4 |  |",
        "### ham10000: pass",
        "| train | 4 | 4 | akiec 0, bcc 0, bkl 0, df 0, mel 2, nv 2, vasc 0 |",
        "| benchmarks/ham10000 | benchmark 1, diagnosis, dermoscopic | 80 | CC-BY-NC-4.0 |",
        "| non-commercial | benchmarks/ham10000 (CC-BY-NC-4.0) | the model may not be used commercially |",
        f"| task model | `model.json`, which names its weights | `{facts.bundle.model_sha256}` |",
    ):
        assert fragment in card, f"the card lacks {fragment!r}"
    assert as_markdown(facts) == card
    assert f"Version 3, of bundle `{'ab' * 32}`" in of_version(card, 3, "ab" * 32)


def lay_corpus(world: SimpleNamespace, **licences: str) -> Path:
    """Write a corpus of one image each of ``licences``' data sets, whose published records say these terms."""
    for key, licence in licences.items():
        Record(stage="validate", key=key, values={"licence": licence}).save(world.data / key)
    rows = pd.DataFrame({"dataset": list(licences), "image_id": "one", "modality": "tbp"})
    write_table(world.root / "corpus" / "corpus.parquet", rows, CORPUS)
    return world.root / "corpus"


def lay_verdict(world: SimpleNamespace) -> Path:
    report = read_json(world.root / "evaluation" / "report.json")
    judged = Criterion(name="floor", outcome=Outcome.PASS, seen="0.6", needed="0.5", reason="the floor was looked at")
    Verdict(
        task=world.task.key,
        outcome=judged.outcome,
        criteria=(judged,),
        reasons=(judged.reason,),
        report_sha256=sha256_file(world.root / "evaluation" / "report.json"),
        **{name: report[name] for name in ("model_sha256", "split_sha256", "preprocessing_sha256")},
    ).save(world.root / "verdict")
    return world.root / "verdict"


def make_release(world: SimpleNamespace) -> Record:
    """Finetune, evaluate, export and release a task, whose verdict is laid by hand."""
    model, evaluation, bundle = (world.root / name for name in ("model", "evaluation", "bundle"))
    given = (world.task, world.split, world.data)
    finetune.run(finetune.Config(), *given, world.encoder, world.features, model, on_line=[].append)
    evaluate.run(evaluate.Config(replicates=100), *given, world.encoder, model, world.features, None, evaluation)
    small = export.Config(real_images=1, random_images=1, batch_sizes=(1,))
    export.run(small, *given, model, world.encoder, evaluation, lay_verdict(world), world.root / ".work", bundle)
    return release.run(release.Config(), world.task, bundle, world.root / "triton_repo")


@pytest.mark.slow
def test_release__one_non_commercial_source_of_the_corpus_binds_what_serves(make_task_world: Callable[..., Any]) -> None:
    world = make_task_world("pad_ufes", images=90)
    corpus = lay_corpus(world, mym="CC0-1.0", isic2024="CC-BY-NC-4.0")
    inputs = encoder_inputs(preset("tiny", {}), corpus, world.data)
    encoder, card = load_encoder(world.encoder)
    save_encoder(world.encoder, encoder, card.model_copy(update={"inputs": inputs, "steps": 1}))
    record = make_release(world)
    wanted = {"isic2024": "CC-BY-NC-4.0", "mym": "CC0-1.0", "benchmarks/pad_ufes": "CC-BY-4.0"}
    version = world.root / "triton_repo" / "pad_ufes" / "1"
    facts = read_json(version / "release.json")
    chain = (load_model_card(world.root / "model").made_from, bundles.load_bundle(world.root / "bundle").inputs)
    assert {one.name: one.licence for one in load_card(world.encoder).made_from}.items() < wanted.items()
    assert all({one.name: one.licence for one in made} == wanted for made in chain)
    assert {one["name"]: one["licence"] for one in facts["inputs"]} == wanted
    told = "May not be used commercially: isic2024 (CC-BY-NC-4.0)."
    assert record.values["terms"] == told
    served = model_configs.from_pbtxt((version / repo.CONFIG).read_text(), "config.pbtxt")
    assert served["parameters"]["terms"]["string_value"] == told
    page = (version / "MODEL_CARD.md").read_text()
    assert told in page
    assert facts["bundle_sha256"] in page
    assert page.startswith((version / "bundle" / "MODEL_CARD.md").read_text())
    bundles.check_bundle(version / "bundle", "pad_ufes")
    assert "Too little is known of class MEL" in page
