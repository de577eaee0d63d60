from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from panderm.evaluation.bootstrap import Statistic, auroc, auroc_statistic
from panderm.evaluation.multiple import holm
from panderm.evaluation.permutation import paired_t, permutation_test, pseudo_value_t


def mean_of(first: np.ndarray, second: np.ndarray) -> Statistic:
    values = np.concatenate([first, second]).astype(float)
    return lambda weight: float(weight @ values / weight.sum())


def test_permutation__difference_is_first_minus_second() -> None:
    rng = np.random.default_rng(0)
    target, one, two = rng.integers(0, 2, 80), rng.random(80), rng.random(80)
    both = auroc_statistic(np.tile(target, 2), np.concatenate([one, two]))
    found = permutation_test(both, np.arange(80), permutations=50)
    assert found.difference == pytest.approx(auroc(target, one) - auroc(target, two))


def test_permutation__of_few_cases_is_the_exact_test() -> None:
    # Six cases, the first model right on all, the second wrong on all: 2 of the 64 exchanges are as extreme.
    found = permutation_test(mean_of(np.ones(6), np.zeros(6)), np.arange(6), permutations=20_000, seed=1)
    assert found.difference == 1.0
    assert found.p == pytest.approx(2 / 64, abs=0.005)


def test_permutation__is_two_sided_seeded_and_never_zero() -> None:
    better, worse = np.ones(60), np.zeros(60)
    one = permutation_test(mean_of(better, worse), np.arange(60), permutations=200, seed=5)
    other = permutation_test(mean_of(worse, better), np.arange(60), permutations=200, seed=5)
    assert one.p == other.p == pytest.approx(1 / 201)
    assert other.difference == -1.0
    rng = np.random.default_rng(2)
    both = mean_of(rng.random(60), rng.random(60))
    assert permutation_test(both, np.arange(60), seed=3) == permutation_test(both, np.arange(60), seed=3)


def test_permutation__exchanges_whole_patients_unless_plain() -> None:
    # Two patients of 30 images each: clustered there are 4 exchanges, half of them as extreme; plain has far more.
    groups = np.repeat([0, 1], 30)
    both = mean_of(np.ones(60), np.zeros(60))
    assert permutation_test(both, groups, permutations=400).p == pytest.approx(0.5, abs=0.08)
    assert permutation_test(both, groups, permutations=400, unit="plain").p < 0.01


def test_permutation__equal_models_have_p_one_and_undefined_figures_none() -> None:
    same = np.random.default_rng(0).random(20)
    assert permutation_test(mean_of(same, same), np.arange(20), permutations=50).p == 1.0
    undefined = auroc_statistic(np.ones(8), np.arange(8.0))
    assert np.isnan(permutation_test(undefined, np.arange(4), permutations=5).p)


def test_paired_t__is_scipys_without_pairs_that_are_unknown() -> None:
    rng = np.random.default_rng(4)
    one, two = rng.normal(0.3, 1, 20), rng.normal(0, 1, 20)
    expected = ttest_rel(one, two)
    found = paired_t(np.append(one, np.nan), np.append(two, 3.0))
    assert (found.t, found.p, found.n) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue), 20)
    assert found.low < found.difference < found.high


def test_paired_t__without_spread_or_pairs() -> None:
    assert paired_t([1, 2, 3], [1, 2, 3]).p == 1.0
    assert np.isnan(paired_t([1, 2, 3], [0, 1, 2]).p)
    assert np.isnan(paired_t([1], [0]).p)


def test_pseudo_value_t__of_a_mean_over_cases_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.random(50) < 0.8, rng.random(50) < 0.6
    found, expected = pseudo_value_t(mean_of(one, two), np.arange(50)), ttest_rel(one.astype(float), two.astype(float))
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    by_patient = pseudo_value_t(mean_of(one, two), np.arange(50) // 5)
    assert by_patient.n == 10
    assert by_patient.difference == pytest.approx(found.difference)


def test_pseudo_value_t__works_for_an_auroc_and_says_when_it_cannot() -> None:
    rng = np.random.default_rng(6)
    target = rng.integers(0, 2, 90)
    one, two = rng.normal(size=90) + 2 * target, rng.normal(size=90)
    both = auroc_statistic(np.tile(target, 2), np.concatenate([one, two]))
    found = pseudo_value_t(both, np.arange(90))
    assert found.p < 0.001
    assert found.difference == pytest.approx(auroc(target, one) - auroc(target, two), abs=0.02)
    single = auroc_statistic([1, 0, 0, 1, 0, 0], np.arange(6.0))
    assert np.isnan(pseudo_value_t(single, np.arange(3)).p)


def test_holm__by_hand_in_the_order_given_and_unknown_ones_do_not_count() -> None:
    np.testing.assert_allclose(holm([0.04, 0.01, np.nan, 0.03]), [0.06, 0.03, np.nan, 0.06])
    assert holm([]).size == 0
    assert np.isnan(holm([np.nan])).all()
