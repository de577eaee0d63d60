from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.core.files import write_bytes
from panderm.core.tables import to_table
from panderm.evaluation.criteria import _groups_by_class
from panderm.evaluation.evidence import Evidence
from panderm.evaluation.figures import Resampling, all_figures
from panderm.finetune import Config
from panderm.models.encoder import load_card, load_encoder
from panderm.models.heads import FineTunedNetwork
from panderm.models.task_model import WEIGHTS, load_task_model, save_weights
from panderm.tasks import screening, screening_figures, total_body
from panderm.tasks.cards import write_card
from panderm.tasks.kinds import Fitted, Given, exported
from panderm.tasks.measurements import NUMBERS
from panderm.training.finetune_recipe import LinearProbeRecipe

RISK, SCREENING = benchmark("tbp_risk"), benchmark("tbp_screening")
PROBE = Config(protocol="linear_probe", linear_probe=LinearProbeRecipe(penalty="tuned", standardise=True))
Make = Callable[[Benchmark, list[dict[str, Any]]], Given]


def lesions(patients: int) -> list[dict[str, Any]]:
    """Seven a patient: two were sent to dermoscopy (bright), one of them is malignant (large, and odd for most)."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        split = ("train", "train", "val", "test")[patient % 4]
        for lesion in range(7):
            high, ill = lesion < 2, lesion == 0
            colour = np.array([110 + 60 * high, 90, 80]) + (np.array([0, 70, 90]) if ill and patient % 8 != 3 else 0)
            pixels = np.clip(rng.normal(colour, 8, (40, 40, 3)), 0, 255).astype(np.uint8)
            told = {name: float(rng.normal(5 + 2 * ill * (name == "areaMM2"), 1)) for name in NUMBERS if name != "stdL"}
            if lesion == 3:
                del told["areaMM2"]
            text = json.dumps(told | {"malignant": int(ill), "location_simple": ["back", "arm"][lesion % 2]})
            rows.append({"pixels": pixels, "label": RISK.classes[high], "split": split, "attributes": text})
            rows[-1] |= {"patient_id": f"q:{patient:02d}", "group": f"q:{patient:02d}", "image_id": f"i{patient:02d}_{lesion}"}
            rows[-1] |= {"sex": ["male", "female"][patient % 2]}
    return rows


def fitted(given: Given, folder: Path) -> Path:
    folder.mkdir()
    recipe = PROBE.recipe(given.task)
    write_card(given.task, given.rows, load_card(given.encoder), total_body.fit(recipe, given, folder), folder)
    return folder


def test_screening__the_union_finds_what_an_arm_misses_and_every_figure_has_its_arm(make_given: Make, tmp_path: Path) -> None:
    given = make_given(SCREENING, lesions(64))
    model = fitted(given, tmp_path / "model")
    predictions = total_body.predict(given, model)
    table = to_table(predictions, total_body.schema(SCREENING))
    assert table.num_rows == 16 * 7
    assert (predictions["predicted"] == predictions[["by_risk", "by_duckling", "by_trees"]].any(axis=1)).all()

    figures = all_figures(SCREENING, predictions, Resampling(100))
    found = {figure.metric: figure for figure in figures if figure.scope == "overall"}
    assert next(iter(found)) == "sensitivity"
    assert found["sensitivity"].value >= max(found[f"sensitivity_{arm}"].value for arm in screening.ARMS)
    assert 0.3 < found["sensitivity_duckling"].value < 1, "half of the malignant lesions look like the others"
    assert found["sensitivity"].value > 0.8
    assert found["lesions_recommended"].value == predictions["predicted"].sum()
    assert found["lesions_recommended"].low < found["lesions_recommended"].value < found["lesions_recommended"].high
    assert found["risk_auroc"].value > 0.9

    told = total_body.details(SCREENING, predictions)["screening"]
    assert (told["lesions"], told["malignant"], told["patients"], told["missing_measurements"]) == (112, 16, 16, 128)
    assert told["arms"]["union"]["found"] == 16 - len(told["missed"])
    json.dumps(told, allow_nan=False)

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    total_body.draw(pictures, given, model, predictions)
    assert {path.name for path in pictures.iterdir()} == {"arms.png", "ducklings.png", "shap.png"}

    evidence = Evidence(SCREENING, SCREENING.classes, predictions, None, None, {})
    assert _groups_by_class(evidence) == {"not_malignant": 16, "malignant": 16}, "the gate counts malignancy, not risk"

    write_bytes(model / "trees.safetensors", b"x")
    with pytest.raises(InputError, match=r"trees\.safetensors is missing or not the one screening\.json names"):
        total_body.predict(given, model)


def test_risk__of_a_fine_tuned_network_gives_the_features_under_its_head(make_given: Make, tmp_path: Path) -> None:
    given = make_given(SCREENING, lesions(2))
    card = load_card(given.encoder)
    torch.manual_seed(0)
    network = FineTunedNetwork(card.architecture, 2)
    network.start_from(load_encoder(given.encoder)[0])
    torch.nn.init.normal_(network.head.weight)
    (tmp_path / "risk").mkdir()
    save_weights(tmp_path / "risk" / WEIGHTS["fine_tuning"], network)
    write_card(SCREENING, given.rows, card, Fitted(WEIGHTS["fine_tuning"], "fine_tuning", {}, {}), tmp_path / "risk")
    chance, features = screening._risk(given, given.rows.frame, tmp_path / "risk")
    assert features.shape == (14, card.architecture.width)
    logits = network.eval().head(torch.from_numpy(features).float()).detach()
    assert chance == pytest.approx(torch.softmax(logits, dim=1)[:, 1].double().numpy(), abs=1e-5)
    assert load_task_model(tmp_path / "risk").card.classes == ("low", "high")


def test_risk_task__is_a_classifier_of_high_and_low(make_given: Make, tmp_path: Path) -> None:
    given = make_given(RISK, lesions(24))
    predictions = total_body.predict(given, fitted(given, tmp_path / "model"))
    assert total_body.primary(RISK, predictions)(np.ones(len(predictions))) > 0.9
    assert "balanced_accuracy" in total_body.score(RISK, predictions)
    assert total_body.judged_classes(RISK) == RISK.classes
    assert list(total_body.class_score(RISK, predictions, 1)) == ["sensitivity", "specificity", "auroc"]


def test_fit__without_a_malignant_lesion_in_training_is_one_sentence(make_given: Make, tmp_path: Path) -> None:
    rows = lesions(4)
    for row in rows:
        row["attributes"] = row["attributes"].replace('"malignant": 1', '"malignant": 0')
    with pytest.raises(InputError, match="has 0 malignant of 14 lesions; the trees need both"):
        fitted(make_given(SCREENING, rows), tmp_path / "model")


def test_patient_figures__by_hand() -> None:
    """Two patients with a malignant lesion, one of them found; the third has a needless recommendation."""
    table = pd.DataFrame(
        {
            "patient": ["a", "a", "b", "b", "c"],
            "target": [1, 1, 1, 0, 0],
            "predicted": [0, 1, 0, 1, 1],
            "by_risk": [0, 1, 0, 0, 0],
            "by_duckling": [0, 0, 0, 1, 0],
            "by_trees": [0, 0, 0, 0, 1],
            "risk": ["high", "high", "low", "low", "low"],
            "risk_score": [0.4, 0.9, 0.2, 0.1, 0.3],
            "trees_score": [0.1, 0.2, 0.3, 0.4, 0.5],
        }
    )
    found = {name: statistic(np.ones(5)) for name, statistic in screening_figures.figures(table).items()}
    assert screening_figures.sensitivity(table)(np.ones(5)) == pytest.approx(1 / 3)
    assert found["patient_sensitivity"] == 0.5
    assert found["patients_with_recommendation"] == 1.0
    assert found["patients_with_recommendation_risk"] == pytest.approx(1 / 3)
    assert found["lesions_recommended"] == 3
    assert found["specificity"] == 0.0
    twice = screening_figures.figures(table)["patient_sensitivity"](np.array([2.0, 2, 1, 1, 0]))
    assert twice == pytest.approx(2 / 3), "patient a was drawn twice"
    assert np.isnan(screening_figures.sensitivity(table)(np.array([0.0, 0, 0, 1, 1])))


def manifest(malignant: Any) -> pd.DataFrame:
    good = {"majorAxisMM": 3, "deltaLBnorm": 5, "out_of_bounds_fraction": 0, "dnn_lesion_confidence": 90, "nevi_confidence": 90}
    last = {} if malignant is None else {"malignant": malignant}
    texts = [json.dumps(good | change) for change in ({"malignant": 0}, {"majorAxisMM": 1}, last)]
    return pd.DataFrame({"image_id": ["a", "b", "c"], "label": ["low", "low", "high"], "attributes": texts})


@pytest.mark.parametrize("task", [RISK, SCREENING])
def test_prepare__filters_and_balances_both_tasks_alike(task: Benchmark) -> None:
    prepared = total_body.prepare(task, manifest(1), pd.DataFrame())
    assert list(prepared.rows["stratum"]) == ["low", "malignant"]
    assert prepared.left_out["smaller_than_2_mm"] == 1
    assert prepared.left_out["unlabelled"] == 0
    assert prepared.notes == ()


@pytest.mark.parametrize(("said", "seen"), [(None, "does not say"), ("perhaps", "says 'perhaps'"), (2, "says 2")])
def test_prepare__a_lesion_without_pathology_is_left_out_of_a_screening_and_named(said: Any, seen: str) -> None:
    assert list(total_body.prepare(RISK, manifest(said), pd.DataFrame()).rows["stratum"]) == ["low", "high"]
    prepared = total_body.prepare(SCREENING, manifest(said), pd.DataFrame())
    assert list(prepared.rows["image_id"]) == ["a"]
    assert prepared.left_out["malignancy_unknown"] == 1
    sentence = f"image c is left out: it {seen} whether it is malignant; deliver the column `pathology`"
    assert prepared.notes == (sentence,)


def test_prepare__a_screening_of_which_no_lesion_says_whether_it_is_malignant_is_refused() -> None:
    rows = manifest(None)[2:]
    with pytest.raises(InputError, match=r"tbp_screening: none of its 1 lesions .* \(image c is left out"):
        total_body.prepare(SCREENING, rows, pd.DataFrame())


def test_exported__the_risk_head_is_served_and_the_screening_is_not() -> None:
    assert {task.key: exported(task) for task in (RISK, SCREENING)} == {"tbp_risk": True, "tbp_screening": False}
    assert exported(benchmark("ham10000"))
    assert not exported(benchmark("cptac_cm"))


def test_recipe__the_risk_head_is_fine_tuned_unless_asked_otherwise() -> None:
    assert Config().recipe(SCREENING).risk.protocol == "fine_tuning"
    assert Config().recipe(RISK).risk.protocol == "fine_tuning"
    assert PROBE.recipe(SCREENING).risk.protocol == "linear_probe"
