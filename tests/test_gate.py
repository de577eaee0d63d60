from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from panderm import gate
from panderm.catalog import Benchmark, benchmark
from panderm.cli.gate import command
from panderm.core.errors import InputError, Refused
from panderm.core.files import read_json, sha256_bytes, sha256_file, write_json
from panderm.core.record import Record
from panderm.evaluation.verdict import Outcome, describe, load_verdict
from panderm.imaging.preprocessing import Preprocessing
from panderm.tasks.kinds import kind_of
from panderm.tasks.screening import ARMS

HAM, ISIC = benchmark("ham10000"), benchmark("isic2024")
QUICK = gate.Config(replicates=300)


def predictions(task: Benchmark, n: int, strength: float, seed: int = 0) -> pd.DataFrame:
    """Predictions of a model that sees the label through noise: strength 0 is chance, 4 is nearly always right."""
    rng, classes = np.random.default_rng(seed), len(task.classes)
    patients = n // 2
    target = np.random.default_rng(99).choice(classes, n, p=np.arange(classes, 0, -1) / np.arange(1, classes + 1).sum())
    logits = rng.normal(0, 1, (n, classes))
    logits[np.arange(n), target] += strength
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    facts = np.random.default_rng(98)
    return pd.DataFrame(
        {
            "image_id": [f"i{row:05d}" for row in range(n)],
            "group": [f"p{row % patients:04d}" for row in range(n)],
            "target": target,
            "label": [task.classes[t] for t in target],
            "predicted": probabilities.argmax(axis=1),
            **{f"p_{c}": probabilities[:, c] for c in range(classes)},
            "age": facts.choice([25.0, 50.0, 70.0, np.nan], n),
            "sex": facts.choice(["female", "male"], n),
            "site": pd.Series([None] * n, dtype=object),
            "skin_type": ["II"] * (n - 4) + ["VI"] * 4,
        }
    )


def screened(lesions: int, malignant: int) -> pd.DataFrame:
    """Predictions of a screening that finds every malignant lesion and nothing else, each lesion another patient's."""
    ill = np.arange(lesions) < malignant
    frame = pd.DataFrame({name: [f"p{row:05d}" for row in range(lesions)] for name in ("image_id", "group", "patient")})
    frame = frame.assign(target=ill.astype(int), predicted=ill.astype(int), label="low", risk="low", missing=0)
    frame = frame.assign(**{f"by_{arm}": ill for arm in ARMS})
    return frame.assign(risk_score=0.5, distance=1.0, trees_score=0.5, fence=2.0, age=None, sex=None, site=None, skin_type=None)


class Bench:
    """The folders that a gate reads, written as finetune and evaluate do."""

    def __init__(self, root: Path, task: Benchmark) -> None:
        self.task, self.model, self.evaluation, self.out = task, root / "model", root / "evaluation", root / "verdict"
        self.model.mkdir(parents=True)
        self.evaluation.mkdir()
        (self.model / "head.safetensors").write_bytes(b"weights")
        card = {"task": task.key, "protocol": "linear_probe", "classes": list(task.classes), "weights": "head.safetensors"}
        card |= {"weights_sha256": sha256_bytes(b"weights"), "split_sha256": "5" * 64, "encoder_sha256": "e" * 64}
        write_json(self.model / "model.json", card | {"preprocessing": json.loads(Preprocessing().to_json())})

    def evaluated(self, frame: pd.DataFrame, champion: pd.DataFrame | None = None) -> Bench:
        frame.to_parquet(self.evaluation / "predictions.parquet")
        value = kind_of(self.task).primary(self.task, frame)(np.ones(len(frame)))
        report: dict[str, Any] = {
            "task": self.task.key,
            "metric": self.task.metric,
            "value": None if np.isnan(value) else value,
            "model_sha256": sha256_file(self.model / "model.json"),
            "split_sha256": "5" * 64,
            "preprocessing_sha256": sha256_bytes(Preprocessing().to_json().encode()),
            "predictions_sha256": sha256_file(self.evaluation / "predictions.parquet"),
            "champion": None,
        }
        if champion is not None:
            path = self.evaluation / "champion_predictions.parquet"
            champion.to_parquet(path)
            report["champion"] = {"version": 3, "model_sha256": "c" * 64, "predictions_sha256": sha256_file(path)}
        write_json(self.evaluation / "report.json", report)
        return self

    def edit(self, path: Path, **changes: Any) -> None:
        write_json(path, read_json(path) | changes)

    def judge(self, config: gate.Config = QUICK) -> Record:
        return gate.run(config, self.task, self.evaluation, self.model, self.out)

    def outcomes(self, config: gate.Config = QUICK) -> dict[str, str]:
        self.judge(config)
        verdict = load_verdict(self.out)
        return {"all": str(verdict.outcome), **{c.name: str(c.outcome) for c in verdict.criteria}}

    def reason(self, name: str) -> str:
        return next(c.reason for c in load_verdict(self.out).criteria if c.name == name)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[Benchmark], Bench]:
    return lambda task: Bench(tmp_path / task.key, task)


@pytest.mark.parametrize("task", [HAM, ISIC], ids=lambda t: t.key)
def test_gate__a_model_that_has_learnt_passes_its_first_release(task: Benchmark, bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(task).evaluated(predictions(task, 300, 3.0))
    assert made.outcomes()["all"] == "pass"
    verdict = load_verdict(made.out)
    assert verdict.passed
    assert verdict.champion is None
    assert verdict.reasons == tuple(c.reason for c in verdict.criteria)
    assert any("First release" in reason for reason in verdict.reasons)
    assert verdict.model_sha256 == sha256_file(made.model / "model.json")
    assert verdict.report_sha256 == sha256_file(made.evaluation / "report.json")
    assert verdict.split_sha256 == "5" * 64


@pytest.mark.parametrize(("task", "called"), [(HAM, "Weighted F1"), (ISIC, "AUROC")], ids=["ham10000", "isic2024"])
def test_gate__chance_fails(task: Benchmark, called: str, bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(task).evaluated(predictions(task, 600, 0.0))
    assert made.outcomes() | {"all": "fail", "floor": "fail"} == made.outcomes()
    reason = made.reason("floor")
    assert reason.startswith(f"{called} is 0.")
    assert "all of it below the floor" in reason


def test_gate__always_the_frequent_class_is_not_learning(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(HAM, 900, 0.0)
    frame["target"] = np.where(np.arange(900) < 800, 5, np.arange(900) % 7)  # nine in ten are nevi
    for c in range(7):
        frame[f"p_{c}"] = float(c == 5)
    made = bench(HAM).evaluated(frame)
    value = read_json(made.evaluation / "report.json")["value"]
    assert value > 0.8, "the example needs a figure that looks good"
    assert made.outcomes()["floor"] != "pass"
    assert "answering blindly comes to" in made.reason("floor")


def test_gate__few_patients_are_insufficient_evidence_however_good(bench: Callable[[Benchmark], Bench]) -> None:
    low = QUICK.model_copy(update={"auroc_floor": 0.3})  # all right with six patients of the rarer class: from 0.34
    outcomes = bench(ISIC).evaluated(predictions(ISIC, 28, 6.0)).outcomes(low)
    assert outcomes["floor"] == "pass"
    assert outcomes["test_size"] == outcomes["all"] == "insufficient_evidence"


@pytest.mark.parametrize(("positives", "outcome"), [(10, "insufficient_evidence"), (30, "pass")])
def test_gate__a_screening_that_finds_all_of_few_is_not_proven(
    positives: int, outcome: str, bench: Callable[[Benchmark], Bench]
) -> None:
    frame = screened(1000, positives)
    made = bench(benchmark("tbp_screening")).evaluated(frame)
    outcomes = made.outcomes()
    assert outcomes["test_size"] == "pass", "the classes are large enough; what decides is the interval"
    assert outcomes["floor"] == outcomes["all"] == outcome
    assert f"Sensitivity is 1.000 ({0.025 ** (1 / positives):.3f} to 1.000)" in made.reason("floor")


@pytest.mark.parametrize(("positives", "floor"), [(10, "insufficient_evidence"), (30, "pass")])
def test_gate__a_perfect_auroc_rests_on_its_positives(positives: int, floor: str, bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(ISIC, 2000, 0.0).assign(group=[f"p{row:04d}" for row in range(2000)])
    target = (np.arange(2000) < positives).astype(int)
    frame = frame.assign(target=target, p_1=0.1 + 0.8 * target, p_0=0.9 - 0.8 * target)
    strict = QUICK.model_copy(update={"auroc_floor": 0.80})
    assert bench(ISIC).evaluated(frame).outcomes(strict)["floor"] == floor


def test_gate__few_positives_are_insufficient_evidence(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(ISIC, 400, 6.0)
    positives = frame.index[frame["target"] == 1]
    made = bench(ISIC).evaluated(frame.drop(positives[4:]))
    assert made.outcomes()["all"] == "insufficient_evidence"
    assert "malignant (" in made.reason("test_size")


def test_gate__an_interval_across_the_floor_is_insufficient_evidence(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(ISIC).evaluated(predictions(ISIC, 120, 0.75))
    assert made.outcomes()["floor"] == "insufficient_evidence"
    assert "does not settle" in made.reason("floor")


def test_gate__a_missing_class_never_passes(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(HAM, 300, 5.0)
    made = bench(HAM).evaluated(frame[frame["target"] != 3])
    assert made.outcomes()["all"] == "insufficient_evidence"
    assert "df (0)" in made.reason("test_size")


def test_gate__one_class_only_has_no_auroc(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(ISIC, 100, 3.0)
    made = bench(ISIC).evaluated(frame[frame["target"] == 0])
    assert made.outcomes()["all"] == "insufficient_evidence"
    assert "undefined (a class is missing)" in made.reason("floor")


def test_champion__a_better_challenger_passes_and_is_told_against_whom(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 400, 3.5), champion=predictions(HAM, 400, 2.5, seed=1))
    assert made.outcomes()["all"] == "pass"
    assert load_verdict(made.out).champion.model_dump() == {"version": 3, "model_sha256": "c" * 64}  # type: ignore[union-attr]
    assert "Against version 3 on the same 400 images" in made.reason("champion")


def test_champion__a_clearly_worse_challenger_fails_above_the_floor(bench: Callable[[Benchmark], Bench]) -> None:
    outcomes = bench(HAM).evaluated(predictions(HAM, 400, 2.2), champion=predictions(HAM, 400, 5.0, seed=1)).outcomes()
    assert outcomes["floor"] == "pass"
    assert outcomes["champion"] == outcomes["all"] == "fail"


def test_champion__too_few_images_for_the_margin_are_insufficient_evidence(bench: Callable[[Benchmark], Bench]) -> None:
    outcomes = bench(HAM).evaluated(predictions(HAM, 80, 3.0), champion=predictions(HAM, 80, 3.0, seed=1)).outcomes()
    assert outcomes["champion"] == "insufficient_evidence"


def test_champion__the_same_model_again_is_no_worse(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(HAM, 300, 3.0)
    made = bench(HAM).evaluated(frame, champion=frame)
    assert made.outcomes()["champion"] == "pass"
    assert "+0.000 (+0.000 to +0.000)" in made.reason("champion")


@pytest.mark.parametrize("other", ["rows", "labels"])
def test_champion__other_images_or_labels_are_refused(other: str, bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(HAM, 100, 3.0)
    theirs = frame.iloc[1:] if other == "rows" else frame.assign(target=(frame["target"] + 1) % 7)
    with pytest.raises(Refused, match="not evaluated on the same images and labels"):
        bench(HAM).evaluated(frame, champion=theirs).judge()


def test_champion__half_a_champion_is_refused(bench: Callable[[Benchmark], Bench]) -> None:
    frame = predictions(HAM, 100, 3.0)
    made = bench(HAM).evaluated(frame, champion=frame)
    (made.evaluation / "champion_predictions.parquet").unlink()
    with pytest.raises(Refused, match="names a champion but has no predictions of it"):
        made.judge()
    made.evaluated(frame, champion=frame)
    made.edit(made.evaluation / "report.json", champion=None)
    with pytest.raises(Refused, match="does not name it"):
        made.judge()


def test_subgroups__a_gap_far_beyond_noise_fails(bench: Callable[[Benchmark], Bench]) -> None:
    good, chance = predictions(HAM, 500, 4.0), predictions(HAM, 500, 0.8)
    made = bench(HAM).evaluated(good.where(good["sex"] == "female", chance))
    assert made.outcomes()["subgroups:sex"] == "fail"
    assert "(male)" in made.reason("subgroups:sex")
    assert load_verdict(made.out).outcome is Outcome.FAIL


def test_subgroups__small_ones_are_named_and_never_judged(bench: Callable[[Benchmark], Bench]) -> None:
    good, wrong = predictions(HAM, 300, 4.0), predictions(HAM, 300, -9.0)
    made = bench(HAM).evaluated(good.where(good["skin_type"] == "II", wrong))  # wrong on all four images of type VI
    outcomes = made.outcomes()
    assert outcomes["all"] == outcomes["subgroups:skin_type"] == "pass"
    assert "Too small to judge: VI (4)" in made.reason("subgroups:skin_type")
    assert "subgroups:site" not in outcomes  # unknown throughout


def test_subgroups__noise_alone_seldom_fails(tmp_path: Path) -> None:
    strict = QUICK.model_copy(update={"max_gap": 0.0})
    fails = 0
    for seed in range(20):
        made = Bench(tmp_path / str(seed), HAM)
        fails += made.evaluated(predictions(HAM, 200, 1.5, seed=seed)).outcomes(strict)["subgroups:age"] == "fail"
    assert fails <= 4  # three equal subgroups, no gap allowed: 5 % of 20 expected


def test_integrity__changed_predictions_are_refused(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 1.0))
    predictions(HAM, 100, 5.0).to_parquet(made.evaluation / "predictions.parquet")
    with pytest.raises(Refused, match="the predictions at hand"):
        made.judge()
    assert not made.out.exists()


def test_integrity__a_report_that_claims_more_than_its_predictions_is_refused(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 1.0))
    made.edit(made.evaluation / "report.json", value=0.99)
    with pytest.raises(Refused, match=r"the report says weighted_f1 0\.99, the predictions come to"):
        made.judge()


def test_integrity__a_report_changed_after_its_record_is_refused(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 4.0))
    noted = sha256_file(made.evaluation / "report.json")
    Record(stage="evaluate", key="ham10000", hashes={"report": noted}).save(made.evaluation)
    made.judge()
    made.edit(made.evaluation / "report.json", note="edited")
    with pytest.raises(Refused, match="the report at hand"):
        made.judge()


@pytest.mark.parametrize("name", ["model_sha256", "split_sha256", "preprocessing_sha256"])
def test_integrity__another_model_split_or_preprocessing_is_refused(name: str, bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 4.0))
    made.edit(made.evaluation / "report.json", **{name: "0" * 64})
    with pytest.raises(Refused, match=f"the {name.removesuffix('_sha256')} at hand"):
        made.judge()


def test_integrity__exchanged_weights_are_refused(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 4.0))
    (made.model / "head.safetensors").write_bytes(b"other weights")
    with pytest.raises(Refused, match=r"the weights at hand .* run `panderm finetune ham10000` again"):
        made.judge()


def test_integrity__another_task_s_model_is_refused(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 100, 4.0))
    with pytest.raises(Refused, match=r"model\.json is of task 'ham10000', not 'isic2024'"):
        gate.run(QUICK, ISIC, made.evaluation, made.model, made.out)


def test_gate__missing_or_broken_inputs_are_one_sentence(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM)
    with pytest.raises(InputError, match=r"report\.json is missing"):
        made.judge()
    frame = predictions(HAM, 100, 4.0)
    made.evaluated(frame)
    for broken, sentence in (
        (frame.drop(columns="p_6"), "lacks column 'p_6'"),
        (pd.concat([frame, frame.head(1)]), "has an image twice"),
        (frame.head(0), "has no row"),
        (frame.assign(p_0=np.nan), "cannot be"),
    ):
        broken.to_parquet(made.evaluation / "predictions.parquet")
        with pytest.raises(InputError, match=sentence):
            made.judge()
    whole = (made.evaluation / "predictions.parquet").read_bytes()
    (made.evaluation / "predictions.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is not a readable parquet file"):
        made.judge()


def test_verdict__same_inputs_same_bytes_and_thresholds_of_a_task(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 200, 3.0))
    made.judge()
    first = (made.out / "verdict.json").read_bytes()
    assert made.judge() == Record.load(made.out)
    assert (made.out / "verdict.json").read_bytes() == first
    high = gate.Config.parse({"replicates": 300, "tasks": {"ham10000": {"floor": 0.999}}})
    assert made.outcomes(high)["floor"] == "fail"


def test_verdict__an_edited_outcome_is_not_believed(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 300, 0.0))
    made.judge()
    made.edit(made.out / "verdict.json", outcome="pass")
    with pytest.raises(Refused, match="says pass but its criteria come to fail"):
        load_verdict(made.out)


def test_verdict__describes_itself_in_markdown(bench: Callable[[Benchmark], Bench]) -> None:
    made = bench(HAM).evaluated(predictions(HAM, 300, 0.0))
    made.judge()
    text = describe(load_verdict(made.out))
    assert text.startswith("### ham10000: fail\n")
    assert "| floor | fail |" in text
    assert "none (first release" in text


def test_command__exits_0_for_every_verdict_and_3_for_nothing_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDERM_WORKSPACE", str(tmp_path))
    made = Bench(tmp_path / "artifacts" / "tasks" / "ham10000", HAM).evaluated(predictions(HAM, 300, 0.0))
    done = CliRunner().invoke(command, ["ham10000", "--set", "replicates=200"])
    assert done.exit_code == 0, done.output
    assert "### ham10000: fail" in done.output
    made.edit(made.evaluation / "report.json", model_sha256="0" * 64)
    refused = CliRunner().invoke(command, ["ham10000"])
    assert isinstance(refused.exception, Refused)
    assert refused.exception.exit_code == 3
