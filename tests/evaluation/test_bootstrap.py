from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from panderm.evaluation.bootstrap import (
    Interval,
    auroc,
    auroc_statistic,
    by_index,
    cluster_bootstrap,
    paired_bootstrap,
    replicate_weights,
    weighted_f1,
    weighted_f1_statistic,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_auroc__agrees_with_sklearn_with_ties_and_weights(rng: np.random.Generator) -> None:
    target, score = rng.integers(0, 2, 300), rng.integers(0, 12, 300) / 10
    weight = rng.integers(0, 4, 300).astype(float)
    assert auroc(target, score) == pytest.approx(roc_auc_score(target, score), abs=1e-12)
    assert auroc(target, score, weight) == pytest.approx(roc_auc_score(target, score, sample_weight=weight), abs=1e-12)


def test_auroc__one_class_is_undefined_not_zero() -> None:
    assert np.isnan(auroc([1, 1, 1], [0.1, 0.2, 0.3]))
    assert np.isnan(auroc([0, 1], [0.1, 0.2], weight=[1.0, 0.0]))


def test_weighted_f1__agrees_with_sklearn_with_weights_and_a_class_never_seen(rng: np.random.Generator) -> None:
    target, predicted = rng.integers(0, 4, 300), rng.integers(0, 5, 300)  # class 4 is predicted but never true
    weight = rng.integers(0, 4, 300).astype(float)
    for rows in (None, weight):
        expected = f1_score(target, predicted, labels=range(6), average="weighted", sample_weight=rows, zero_division=0)
        assert weighted_f1(target, predicted, 6, rows) == pytest.approx(expected, abs=1e-12)


def test_weights__say_the_same_as_indices(rng: np.random.Generator) -> None:
    target, score = rng.integers(0, 2, 200), rng.random(200)
    groups = rng.integers(0, 60, 200)
    indexed = by_index(lambda index: float(roc_auc_score(target[index], score[index])))
    weighted = cluster_bootstrap(auroc_statistic(target, score), groups, replicates=50)
    assert weighted == pytest.approx(cluster_bootstrap(indexed, groups, replicates=50), abs=1e-12)


def test_replicates__draw_whole_groups() -> None:
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    for weight in replicate_weights(groups, replicates=20):
        assert weight[0] == weight[1]
        assert weight[3] == weight[4] == weight[5]
        assert weight[0] + weight[2] + weight[3] == 3  # as many draws as groups


def test_interval__same_seed_same_ends() -> None:
    values, groups = np.arange(40.0), np.arange(40) // 2
    statistic = lambda weight: float(weight @ values / weight.sum())  # noqa: E731
    first = cluster_bootstrap(statistic, groups, replicates=200, seed=3)
    assert first == cluster_bootstrap(statistic, groups, replicates=200, seed=3)
    assert first != cluster_bootstrap(statistic, groups, replicates=200, seed=4)
    assert first.value == pytest.approx(19.5)
    assert first.low < first.value < first.high


def test_interval__undefined_replicates_are_drawn_again_and_counted() -> None:
    target, score = np.array([1, 0, 0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5])
    interval = cluster_bootstrap(auroc_statistic(target, score), np.arange(6), replicates=200, method="percentile")
    assert interval.value == interval.low == interval.high == 1.0  # an undefined replicate as 0.0 would pull low down
    assert 40 < interval.redrawn < 200  # (5/6)^6 = 0.33 of the draws miss the positive


def test_interval__statistic_undefined_on_all_rows_or_nearly_always_has_no_ends() -> None:
    undefined = cluster_bootstrap(auroc_statistic([1, 1], [0.1, 0.2]), [0, 1])
    assert np.isnan(undefined.value)
    seldom = cluster_bootstrap(lambda weight: 1.0 if (weight == 1).all() else float("nan"), np.arange(8), replicates=50)
    assert seldom.value == 1.0
    assert np.isnan(seldom.low)
    assert np.isnan(seldom.high)


def test_interval__no_rows_is_undefined() -> None:
    assert np.isnan(cluster_bootstrap(lambda weight: float(weight.sum()), []).value)


def test_paired__is_narrower_than_two_separate_intervals(rng: np.random.Generator) -> None:
    target = rng.integers(0, 2, 400)
    shared = target + rng.normal(0, 1.5, 400)
    champion, challenger = shared + rng.normal(0, 0.2, 400), shared + rng.normal(0, 0.2, 400)
    groups = np.arange(400)
    paired = paired_bootstrap(auroc_statistic(target, challenger), auroc_statistic(target, champion), groups, replicates=300)
    alone = cluster_bootstrap(auroc_statistic(target, challenger), groups, replicates=300)
    assert paired.value == pytest.approx(auroc(target, challenger) - auroc(target, champion))
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def _covered(cluster: bool, simulations: int, replicates: int) -> float:
    """Share of simulations whose 95 % interval of a mean holds the true mean, 0: 200 patients, 1 to 9 images each."""
    rng = np.random.default_rng(2024)
    hits = 0
    for number in range(simulations):
        groups = np.repeat(np.arange(200), rng.integers(1, 10, 200))
        values = rng.normal(0, 1, 200)[groups] + rng.normal(0, 1, len(groups))  # half of the variance is the patient's
        interval = cluster_bootstrap(
            lambda weight, values=values: float(weight @ values / weight.sum()),
            groups if cluster else np.arange(len(groups)),
            replicates=replicates,
            seed=number,
            method="percentile",  # half the time; with 200 patients both hold
        )
        hits += interval.low <= 0.0 <= interval.high
    return hits / simulations


@pytest.mark.slow
def test_coverage__clustered_holds_its_level_and_the_plain_bootstrap_would_not() -> None:
    # 1,000 simulations: the standard error of a coverage near 95 % is 0.7 points.
    assert 0.93 <= _covered(cluster=True, simulations=1000, replicates=400) <= 0.97
    assert _covered(cluster=False, simulations=300, replicates=200) < 0.85


def test_speed__a_thousand_replicates_on_two_thousand_rows() -> None:
    import time

    rng = np.random.default_rng(0)
    target, groups = rng.integers(0, 7, 2000), rng.integers(0, 600, 2000)
    started = time.perf_counter()
    f1: Interval = cluster_bootstrap(weighted_f1_statistic(target, rng.integers(0, 7, 2000), 7), groups)
    roc: Interval = cluster_bootstrap(auroc_statistic(target == 0, rng.random(2000)), groups)
    assert time.perf_counter() - started < 5.0  # about 0.2 s here; a re-indexing bootstrap takes over 5
    assert f1.low < f1.high
    assert roc.low < roc.high
