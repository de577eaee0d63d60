from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp, ttest_rel

from panderm.core.errors import InputError
from panderm.reader_studies import conditions, melanoma, support
from panderm.reader_studies.effects import Resampling, effects_table

QUICK = Resampling(replicates=100)
Examples = dict[int, pd.DataFrame]


def test_example__has_the_papers_sizes_and_is_marked(examples: Examples) -> None:
    one, two, three = examples[1], examples[2], examples[3]
    assert one["sequence"].nunique() == 179
    assert one.loc[one["label"] == "malignant", "sequence"].nunique() == 89
    assert one.groupby("reader").size().eq(730).all()
    assert (two["reader"].nunique(), len(two)) == (41, 3320)
    assert (three["reader"].nunique(), len(three), three["label"].nunique()) == (37, 1342, 128)
    assert all(frame["synthetic"].all() for frame in examples.values())


def test_melanoma__counts_by_hand() -> None:
    rows = [("model", "m1", 1, "malignant"), ("model", "m1", 2, "malignant"), ("model", "m2", 1, "benign")]
    rows += [("a", "m1", 1, "benign"), ("a", "m1", 2, "malignant"), ("a", "m2", 1, "malignant")]
    rows += [("b", "m1", 1, "benign"), ("b", "m1", 2, "benign"), ("b", "m2", 1, "benign")]
    frame = pd.DataFrame(rows, columns=["reader", "sequence", "time_point", "answer"])
    frame = frame.assign(label="malignant", kind=np.where(frame["reader"] == "model", "model", "reader"), experience=None)
    found = melanoma.analyse(frame, QUICK)
    table = found.readers.set_index("reader")
    assert table["at_first"].to_dict() == {"model": 1, "a": 1, "b": 0}
    assert table["ever"].to_dict() == {"model": 1, "a": 2, "b": 0}
    assert (table.loc["a", "model_only"], table.loc["a", "reader_only"]) == (1, 1)
    assert found.curves == {"model": [0.5, 0.5], "a": [0.5, 1.0], "b": [0.0, 0.0]}


def test_melanoma__tests_are_mcnemars_and_students(examples: Examples) -> None:
    found = melanoma.analyse(examples[1], QUICK)
    crowd = found.readers[found.readers["kind"] == "reader"]
    row = crowd.iloc[0]
    expected = binomtest(int(row["model_only"]), int(row["model_only"] + row["reader_only"])).pvalue
    assert row["p"] == pytest.approx(expected)
    assert (crowd["p_holm"] >= crowd["p"]).all()
    summary = found.summary["at_first_share"]
    test = ttest_1samp(crowd["at_first_share"], summary["model"]["value"])
    assert summary["test"]["p"] == pytest.approx(test.pvalue)
    assert summary["model"]["low"] < summary["model"]["value"] < summary["model"]["high"]
    assert found.summary["melanomas"] == 89


def test_melanoma__the_model_may_come_as_probabilities(examples: Examples) -> None:
    answers = examples[1]
    people, model = answers[answers["kind"] == "reader"], answers[answers["kind"] == "model"]
    probabilities = pd.DataFrame(
        {
            "sequence": model["sequence"],
            "time_point": model["time_point"],
            "probability": np.where(model["answer"] == "malignant", 0.8, 0.3),
            "label": (model["label"] == "malignant").astype(int),
        }
    )
    joined = melanoma.analyse(melanoma.with_model(people, probabilities), QUICK)
    assert joined.summary == melanoma.analyse(answers, QUICK).summary
    with pytest.raises(InputError, match="hold a model already"):
        melanoma.with_model(answers, probabilities)
    with pytest.raises(InputError, match="is benign in one table and malignant in the other"):
        melanoma.analyse(melanoma.with_model(people, probabilities.assign(label=1 - probabilities["label"])), QUICK)
    with pytest.raises(InputError, match=r"answered sequence s000 at time point 1, the model did not"):
        melanoma.analyse(melanoma.with_model(people, probabilities[probabilities["sequence"] != "s000"]), QUICK)


def test_melanoma__without_model_reader_or_melanoma(examples: Examples) -> None:
    answers = examples[1]
    with pytest.raises(InputError, match="hold 0 models"):
        melanoma.analyse(answers[answers["kind"] == "reader"], QUICK)
    with pytest.raises(InputError, match="hold 0 readers"):
        melanoma.analyse(answers[answers["kind"] == "model"], QUICK)
    with pytest.raises(InputError, match="no lesion is malignant"):
        melanoma.analyse(answers[answers["label"] == "benign"], QUICK)


def test_support__overall_is_the_paired_t_test_over_readers(examples: Examples) -> None:
    frame = examples[2]
    found = support.analyse(frame, QUICK)
    right = pd.DataFrame({name: frame[name] == frame["label"] for name in ("with_support", "without_support")})
    means = right.groupby(frame["reader"]).mean()
    expected = ttest_rel(means["with_support"], means["without_support"])
    row = found.effects.iloc[0]
    assert (row["n"], row["answers"]) == (41, 3320)
    assert row["t"] == pytest.approx(expected.statistic)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["pooled"] == pytest.approx(right["with_support"].mean() - right["without_support"].mean())
    assert row["low"] < row["pooled"] < row["high"]


def test_support__groups_are_by_quantile_and_adjusted_within_their_family(examples: Examples) -> None:
    found = support.analyse(examples[2], QUICK)
    sizes = found.readers["experience"].value_counts().to_dict()
    assert sizes == {"medium": 19, "low": 11, "high": 11}
    assert (
        found.readers.groupby("experience")["entry_score"].max()["low"]
        < found.readers.groupby("experience")["entry_score"].min()["high"]
    )
    experience = found.effects[found.effects["family"] == "experience"]
    assert experience["name"].tolist() == ["low", "medium", "high"]
    assert experience["p_holm"].min() == pytest.approx(min(1.0, 3 * experience["p"].min()))
    assert (found.effects["family"] == "label").sum() == 7


def test_experience__by_hand() -> None:
    groups = support.experience(pd.Series([0.1, 0.2, 0.3, 0.4, 0.5], index=list("abcde")))
    assert groups.to_dict() == {"a": "low", "b": "low", "c": "medium", "d": "high", "e": "high"}


def test_conditions__over_readers_and_over_classes_and_changes(examples: Examples) -> None:
    frame = examples[3]
    found = conditions.analyse(frame, QUICK)
    for family, unit, count in (("overall", "reader", 37), ("over classes", "label", 128)):
        means = frame.groupby(unit)[["score_with", "score_without"]].mean()
        expected = ttest_rel(means["score_with"], means["score_without"])
        row = found.effects[(found.effects["family"] == family) & (found.effects["measure"] == "top1_score")].iloc[0]
        assert row["n"] == count
        assert row["p"] == pytest.approx(expected.pvalue)
    changed = (frame["diagnosis_with"] != frame["diagnosis_without"]).mean()
    assert found.changes.iloc[0]["changed"] == pytest.approx(changed)
    assert found.summary["change_rate"] == pytest.approx(changed)
    specialty = found.effects[(found.effects["family"] == "specialty") & (found.effects["measure"] == "confidence")]
    assert specialty["name"].tolist() == ["dermatologist", "generalist", "resident"]


def test_conditions__a_diagnosis_in_other_case_is_no_change(examples: Examples) -> None:
    frame = examples[3].assign(diagnosis_with=examples[3]["diagnosis_without"].str.upper())
    assert conditions.analyse(frame, QUICK).summary["change_rate"] == 0


@pytest.mark.parametrize(("study", "analyse"), [(2, support.analyse), (3, conditions.analyse)])
def test_studies__need_two_readers(study: int, analyse, examples: Examples) -> None:  # type: ignore[no-untyped-def]
    frame = examples[study]
    with pytest.raises(InputError, match="needs at least 2"):
        analyse(frame[frame["reader"] == "r00"], QUICK)


def test_effects_table__holm_is_by_family_and_measure() -> None:
    rows = [
        {"family": f, "measure": m, "p": p}
        for f, m, p in [("a", "x", 0.01), ("a", "x", 0.04), ("a", "y", 0.04), ("b", "x", 0.03)]
    ]
    assert effects_table(rows)["p_holm"].tolist() == pytest.approx([0.02, 0.04, 0.04, 0.03])
