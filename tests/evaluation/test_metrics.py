from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from panderm.evaluation.metrics import (
    balanced_accuracy_statistic,
    calibration_statistic,
    class_statistics,
    confusion,
    kappa_statistic,
    macro_recall_statistic,
    mean_statistic,
    sensitivity_at,
    specificity_at,
    statistics,
    top_k_statistic,
)


def table(rng: np.random.Generator, rows: int, classes: int) -> pd.DataFrame:
    scores = rng.dirichlet(np.ones(classes), rows).round(2)  # rounded: ties
    frame = pd.DataFrame({f"p_{n}": scores[:, n] for n in range(classes)})
    return frame.assign(target=rng.integers(0, classes, rows), predicted=scores.argmax(axis=1))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_statistics__agree_with_scikit_learn_under_weights(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = table(rng, 200, classes)
    weight = rng.integers(0, 4, 200).astype(float)
    scores = frame[[f"p_{n}" for n in range(classes)]].to_numpy()
    target, predicted = frame["target"].to_numpy(), frame["predicted"].to_numpy()
    seen = {name: statistic(weight) for name, statistic in statistics(frame).items()}
    columns = [1] if classes == 2 else list(range(classes))
    expected = {
        "accuracy": sk.accuracy_score(target, predicted, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(target, predicted, sample_weight=weight),
        "macro_recall": sk.recall_score(target, predicted, average="macro", sample_weight=weight),
        "weighted_f1": sk.f1_score(target, predicted, average="weighted", sample_weight=weight),
        "kappa": sk.cohen_kappa_score(target, predicted, weights="quadratic", sample_weight=weight),
        "auroc": np.mean([sk.roc_auc_score(target == n, scores[:, n], sample_weight=weight) for n in columns]),
        "aupr": np.mean([sk.average_precision_score(target == n, scores[:, n], sample_weight=weight) for n in columns]),
    }
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, abs=1e-9), name


def test_statistics__one_versus_one_agrees_with_scikit_learn() -> None:
    frame = table(np.random.default_rng(0), 150, 4)
    scores = frame[[f"p_{n}" for n in range(4)]].to_numpy()
    scores = scores / scores.sum(axis=1, keepdims=True)
    frame[[f"p_{n}" for n in range(4)]] = scores
    expected = sk.roc_auc_score(frame["target"], scores, multi_class="ovo", average="macro")
    assert statistics(frame)["auroc_ovo"](np.ones(150)) == pytest.approx(expected, abs=1e-9)


def test_statistics__brier_of_two_classes_is_the_positive_ones() -> None:
    frame = table(np.random.default_rng(1), 80, 2)
    expected = sk.brier_score_loss(frame["target"], frame["p_1"])
    assert statistics(frame)["brier"](np.ones(80)) == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "told"), [(20, False), (21, True)])
def test_statistics__top_3_is_told_of_many_classes_only(classes: int, told: bool) -> None:
    frame = table(np.random.default_rng(4), 120, classes)
    found = statistics(frame)
    assert ("top_3_accuracy" in found) is told
    if told:
        scores = frame[[f"p_{n}" for n in range(classes)]].to_numpy()
        expected = sk.top_k_accuracy_score(frame["target"], scores, k=3, labels=range(classes))
        assert found["accuracy"](np.ones(120)) < found["top_3_accuracy"](np.ones(120)) == pytest.approx(expected, abs=0.02)


def test_statistics__a_class_that_is_absent_is_left_out_of_the_mean() -> None:
    frame = table(np.random.default_rng(2), 60, 3)
    frame = frame[frame["target"] != 2]
    aurocs = [sk.roc_auc_score(frame["target"] == n, frame[f"p_{n}"]) for n in (0, 1)]
    assert statistics(frame)["auroc"](np.ones(len(frame))) == pytest.approx(np.mean(aurocs))


def test_class_statistics__sensitivity_and_specificity_come_from_the_confusion() -> None:
    frame = table(np.random.default_rng(3), 120, 3)
    counts = confusion(frame)
    seen = {name: statistic(np.ones(120)) for name, statistic in class_statistics(frame, 1).items()}
    assert seen["sensitivity"] == pytest.approx(counts[1, 1] / counts[1].sum())
    others = np.delete(counts, 1, axis=0)
    assert seen["specificity"] == pytest.approx(1 - others[:, 1].sum() / others.sum())


def test_calibration_statistic__is_the_gap_of_confidence_and_accuracy() -> None:
    scores = np.tile([0.8, 0.2], (10, 1))
    target = np.array([0] * 5 + [1] * 5)
    assert calibration_statistic(target, scores)(np.ones(10)) == pytest.approx(0.3)
    weight = np.array([8.0, 0, 0, 0, 0, 2, 0, 0, 0, 0])
    assert calibration_statistic(target, scores)(weight) == pytest.approx(0.0)


def test_statistics_by_column__agree_with_scikit_learn_under_weights() -> None:
    rng = np.random.default_rng(8)
    target, predicted, weight = rng.integers(0, 4, 150), rng.integers(0, 5, 150), rng.integers(0, 3, 150).astype(float)
    expected = {
        balanced_accuracy_statistic: sk.balanced_accuracy_score(target, predicted, sample_weight=weight),
        macro_recall_statistic: sk.recall_score(target, predicted, average="macro", sample_weight=weight),
        kappa_statistic: sk.cohen_kappa_score(target, predicted, weights="quadratic", sample_weight=weight),
    }
    for make, value in expected.items():
        assert make(target, predicted, 5)(weight) == pytest.approx(value), make.__name__
    scores = rng.random((150, 6))
    for k in (1, 3):
        value = sk.top_k_accuracy_score(target, scores, k=k, sample_weight=weight, labels=range(6))
        assert top_k_statistic(target, scores, k)(weight) == pytest.approx(value)
    dice = rng.random(150)
    assert mean_statistic(dice)(weight) == pytest.approx(np.average(dice, weights=weight))


def test_sensitivity_and_specificity__at_a_threshold_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(9)
    target, score, weight = rng.integers(0, 2, 120), rng.integers(0, 11, 120) / 10, rng.integers(0, 3, 120).astype(float)
    said = score >= 0.6
    assert sensitivity_at(target, score, 0.6)(weight) == pytest.approx(sk.recall_score(target, said, sample_weight=weight))
    specificity = sk.recall_score(target, said, pos_label=0, sample_weight=weight)
    assert specificity_at(target, score, 0.6)(weight) == pytest.approx(specificity)
    assert np.isnan(sensitivity_at(np.zeros(5), np.ones(5), 0.5)(np.ones(5)))
