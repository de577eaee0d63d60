from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import InputError
from panderm.core.files import write_json
from panderm.core.tables import to_table
from panderm.evaluation.figures import Resampling, all_figures
from panderm.models.encoder import load_card
from panderm.tasks import prognosis, recurrence
from panderm.tasks.cards import write_card
from panderm.tasks.diagnosis import Recipe
from panderm.tasks.kinds import Given
from panderm.training.finetune_recipe import FineTuneRecipe, LinearProbeRecipe

TASK = benchmark("combinemel")
PROBE = Recipe("linear_probe", LinearProbeRecipe(penalty="tuned", standardise=True), FineTuneRecipe())


def facts(patient: int, group: int, rng: np.random.Generator) -> dict[str, Any]:
    months = rng.uniform(40, 130) if group == 0 else rng.exponential(30) + 1
    return {
        "rfi_months": round(float(months), 1),
        "recurrence": int(group > 0),
        "stage": ["I", "II", "I", "II", "III"][patient % 5],
        "breslow": round(float(np.exp(rng.normal(group / 2, 0.5))), 2),
        "ulceration": int(rng.random() < 0.2 + 0.2 * group),
        "mitosis": int(rng.poisson(1 + group)),
        "subtype": ["SSM", "NM", "SSM"][patient % 3],
    }


def melanomas(patients: int) -> list[dict[str, Any]]:
    """One or two images a patient; what spreads is brighter, and what spreads far is redder."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        group = (0, 0, 1, 2)[patient % 4]
        told = {"attributes": json.dumps(facts(patient, group, rng)), "patient_id": f"c:{patient}", "group": f"c:{patient:02d}"}
        told |= {"age": 40.0 + patient % 30, "sex": ["male", "female"][patient % 7 < 3], "site": ["back", "leg"][patient % 2]}
        for image in range(1 + patient % 2):
            seen = group if patient % 9 else 2 - group  # some look like what they are not
            mean = np.array([90 + 30 * (seen > 0) + 50 * (seen > 1), 90 + 30 * (seen > 0), 90])
            pixels = np.clip(rng.normal(mean + rng.normal(0, 10), 12, (40, 40, 3)), 0, 255).astype(np.uint8)
            rows.append({"pixels": pixels, "label": TASK.classes[group], "split": "test", "fold": (patient // 4) % 5} | told)
            rows[-1]["image_id"] = f"i{patient:02d}_{image}"
    return rows


@pytest.fixture
def judged(make_given: Callable[[Benchmark, list[dict[str, Any]]], Given], tmp_path: Path) -> tuple[Given, Path, pd.DataFrame]:
    given, folder = make_given(TASK, melanomas(60)), tmp_path / "model"
    folder.mkdir()
    write_card(TASK, given.rows, load_card(given.encoder), prognosis.fit(PROBE, given, folder), folder)
    return given, folder, prognosis.predict(given, folder)


def test_kind__scores_out_of_fold_and_says_what_they_mean_for_recurrence(
    judged: tuple[Given, Path, pd.DataFrame], tmp_path: Path
) -> None:
    given, model, predictions = judged
    assert to_table(predictions, prognosis.schema(TASK)).num_rows == 90
    assert (predictions["score"] != predictions["p_1"] + predictions["p_2"]).any(), "the score is a probe of its own"
    figures = {figure.metric: figure for figure in all_figures(TASK, predictions, Resampling(100)) if figure.scope == "overall"}
    assert next(iter(figures)) == "auroc"
    assert figures["auroc"].low > 0.7
    assert figures["weighted_f1"].value > 0.6

    told = prognosis.details(TASK, predictions)
    assert len(told["folds"]["auroc"]) == 5
    assert 0.7 < told["folds"]["mean"] <= 1
    survival = told["survival"]
    assert (survival["patients"], survival["left_out"]["of_other_stages"]) == (48, 12)
    assert survival["kaplan_meier"]["p"] < 0.01
    assert [row["years"] for row in survival["dynamic_auc"]] == [3.0, 5.0, 7.0]
    assert survival["dynamic_auc"][0]["low"] > 0.6
    assert survival["concordance"]["value"] > 0.6
    assert survival["cox"]["hazard_ratios"][0]["name"] == "score (0 to 1)"
    assert survival["cox"]["hazard_ratios"][0]["ratio"] > 1
    assert "below 10 each" in survival["cox"]["caution"]
    assert survival["cox_by_risk_group"]["hazard_ratios"][0]["name"].startswith("high risk")
    json.dumps(told, allow_nan=False)

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    prognosis.draw(pictures, given, model, predictions)
    assert {"kaplan_meier.png", "forest.png", "dynamic_auc.png", "roc.png"} <= {path.name for path in pictures.iterdir()}
    first = (pictures / "forest.png").read_bytes()
    recurrence.draw_recurrence(pictures, predictions, TASK.key)
    assert (pictures / "forest.png").read_bytes() == first

    few = predictions.assign(recurrence=0.0)
    assert "no log-rank test" in recurrence.recurrence(few)["kaplan_meier"]["reason"]
    assert "no Cox model: 0 events" in recurrence.recurrence(few)["cox"]["reason"]
    assert "no AUC at 3 years" in recurrence.recurrence(few)["dynamic_auc"][0]["reason"]
    nobody = recurrence.recurrence(predictions.assign(stage="III"))
    assert nobody["reason"].startswith("no patient of stage I or II")
    recurrence.draw_recurrence(tmp_path, predictions.assign(stage="III"), TASK.key)

    write_json(model / "metastasis" / "folds.json", [])
    with pytest.raises(InputError, match=r"metastasis/folds\.json is missing or not the one probes\.json names"):
        prognosis.predict(given, model)


def test_by_patient__mean_score_highest_stage_and_the_thickest_primary() -> None:
    table = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "patient": ["p", "p", "q"],
            "group": ["p", "p", "q"],
            "score": [0.2, 0.6, 0.5],
            "stage": ["I", "II", None],
            "rfi_months": [24.0, 24.0, 6.0],
            "recurrence": [1.0, 1.0, 0.0],
            "breslow": [0.5, 2.0, np.nan],
            "site": ["arm", "leg", "back"],
            **dict.fromkeys(("age", "sex", "ulceration", "mitosis", "subtype")),
        }
    )
    people = recurrence.by_patient(table).set_index("patient")
    assert people.loc["p", ["score", "images", "stage", "site", "time"]].tolist() == [0.4, 2, "II", "leg", 2.0]
    assert recurrence.analysed(table).left_out == {"of_other_stages": 0, "of_unknown_stage": 1}


def prepared(*values: dict[str, Any]) -> pd.DataFrame:
    """Rows with these attributes, and two good ones of other patients."""
    good = [{"rfi_months": 3, "recurrence": 0, "stage": "II"}, {"rfi_months": 4, "recurrence": 1}]
    table = pd.DataFrame({"attributes": [json.dumps(value) for value in (*good, *values)], "label": "local"})
    table["image_id"] = [f"i{n}" for n in range(len(table))]
    table["patient_id"] = ["c:a", "c:b", *(value.get("patient", f"c:{n}") for n, value in enumerate(values))]
    table.loc[0, "label"] = "control"
    return table.assign(group=table["patient_id"])


def test_prepare__is_balanced_by_stage() -> None:
    made = prognosis.prepare(TASK, prepared(), pd.DataFrame())
    assert list(made.rows["stratum"]) == ["II", "unknown"]
    assert made.notes == ()


@pytest.mark.parametrize(
    ("value", "reason", "sentence"),
    [
        ({"rfi_months": None, "recurrence": 1}, "without_time", "it has a recurrence, but no time of it"),
        ({"recurrence": 0}, "without_time", "it has no recurrence-free interval; a number of months from 0 up (rfi_months)"),
        ({"rfi_months": float("nan"), "recurrence": 0}, "without_time", "it has no recurrence-free interval"),
        ({"rfi_months": -1.5, "recurrence": 0}, "without_time", "its recurrence-free interval is -1.5 months"),
        ({"rfi_months": float("inf"), "recurrence": 0}, "without_time", "its recurrence-free interval is inf months"),
        ({"rfi_months": "soon", "recurrence": 0}, "value_is_no_number", "its rfi_months is 'soon', but a number is needed"),
        ({"rfi_months": 3, "recurrence": 0, "breslow": "thin"}, "value_is_no_number", "its breslow is 'thin'"),
        ({"rfi_months": 3, "recurrence": 2}, "without_outcome", "it says 2 whether the melanoma came back (recurrence); 1"),
        ({"rfi_months": 3}, "without_outcome", "it does not say whether the melanoma came back"),
    ],
)
def test_prepare__a_row_without_an_outcome_is_left_out_and_told_and_the_rest_goes_on(
    value: dict[str, Any], reason: str, sentence: str
) -> None:
    made = prognosis.prepare(TASK, prepared(value), pd.DataFrame())
    assert list(made.rows["image_id"]) == ["i0", "i1"]
    assert {name: n for name, n in made.left_out.items() if n} == {reason: 1}
    (note,) = made.notes
    assert note.startswith(f"image i2 is left out: {sentence}")


def test_prepare__a_patient_whose_images_disagree_is_left_out_whole() -> None:
    values = [{"rfi_months": 3, "recurrence": 0, "patient": "c:1"}, {"rfi_months": 30, "recurrence": 0, "patient": "c:1"}]
    made = prognosis.prepare(TASK, prepared(*values), pd.DataFrame())
    assert list(made.rows["image_id"]) == ["i0", "i1"]
    assert made.left_out["patient_disagrees"] == 2
    assert made.notes == ("patient c:1 is left out: the images differ in rfi_months: i2 (3), i3 (30)",)


def test_prepare__many_are_counted_and_none_at_all_is_refused() -> None:
    rows = prepared(*({"rfi_months": -n, "recurrence": 0} for n in range(1, 15)))
    made = prognosis.prepare(TASK, rows, pd.DataFrame())
    assert len(made.notes) == 11
    assert made.notes[-1] == "4 more images or patients are left out for the same reasons"
    with pytest.raises(InputError, match=r"combinemel: none of its 14 images has an outcome .* \(image i2 is left out"):
        prognosis.prepare(TASK, rows[2:], pd.DataFrame())
    with pytest.raises(InputError, match="all 1 images with an outcome are local, but control and others are needed"):
        prognosis.prepare(TASK, rows[1:], pd.DataFrame())


def test_schema__clinical_values_may_be_null_and_scores_may_not() -> None:
    columns = {field.name: field.type for field in prognosis.schema(TASK)}
    assert columns["score"] == pa.float32()
    assert columns["breslow"] == pa.float64()
