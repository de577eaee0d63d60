from __future__ import annotations

import numpy as np
import pytest

from panderm.evaluation.bootstrap import auroc_statistic, cluster_bootstrap
from panderm.evaluation.edge import Pairs, published_variance, reach
from panderm.evaluation.stakes import Staked, difference, mean_of, on_rows

FEW = Pairs(10, 990)


def test_published_variance__is_hanley_and_mcneils_of_equal_classes_and_the_same_from_either_side() -> None:
    area, cases = 0.9, 30
    both_above, both_below = area / (2 - area), 2 * area**2 / (1 + area)
    hanley = area * (1 - area) + (cases - 1) * (both_above - area**2) + (cases - 1) * (both_below - area**2)
    assert published_variance(area, Pairs(cases, cases)) == pytest.approx(hanley / cases**2)
    assert published_variance(0.9, FEW) == pytest.approx(published_variance(0.1, Pairs(990, 10)))
    assert published_variance(1.0, FEW) == 0.0


def test_reach__goes_to_the_truth_under_which_the_figure_is_just_likely() -> None:
    variance = published_variance(0.97, FEW)
    low, high = reach((0.96, 0.98), 0.97, variance, FEW, 0.95)
    assert (0.97 - low) / published_variance(low, FEW) ** 0.5 == pytest.approx(1.96, abs=0.001)
    assert high - 0.97 == pytest.approx(1.96 * published_variance(high, FEW) ** 0.5, rel=0.001)
    assert 0.97 - low > 2 * (high - 0.97), "far from 1 an AUROC is known worse"
    assert reach((0.5, 0.999), 0.97, variance, FEW, 0.95) == (0.5, 0.999), "an interval is never made narrower"


def test_reach__few_cases_do_not_get_away_with_the_small_spread_that_they_happen_to_show() -> None:
    lucky = published_variance(0.99, FEW) / 100
    few, many = (reach((0.988, 0.992), 0.99, lucky, pairs, 0.95) for pairs in (FEW, Pairs(1000, 99_000)))
    assert few[0] < 0.93
    assert many[0] > 0.985


@pytest.mark.parametrize("ends", [(float("nan"), float("nan")), (0.7, 1.0)])
def test_reach__leaves_what_has_no_interval_or_no_spread(ends: tuple[float, float]) -> None:
    np.testing.assert_equal(reach(ends, 1.0, 0.0, FEW, 0.95), ends)


def drawn(positives: int, negatives: int, gap: float) -> Staked:
    rng = np.random.default_rng(0)
    target = np.arange(positives + negatives) < positives
    found = auroc_statistic(target, rng.normal(size=len(target)) + gap * target)
    assert isinstance(found, Staked)
    return found


def ends_of(statistic: Staked) -> tuple[float, float, float]:
    silent = Staked(statistic.figure, statistic.stakes)
    cases = np.arange(sum(statistic.pairs or (0, 0)))
    ours, plain = (cluster_bootstrap(one, cases, replicates=200) for one in (statistic, silent))
    assert ours.high >= plain.high
    return plain.low, ours.low, ours.value


def test_cluster_bootstrap__an_auroc_of_a_rare_class_reaches_farther_than_its_replicates() -> None:
    plain, ours, value = ends_of(drawn(10, 990, 3.3))
    assert value > 0.98
    assert 1 - ours > 1.5 * (1 - plain)


def test_cluster_bootstrap__of_the_papers_largest_split_stays_as_it_is() -> None:
    plain, ours, value = ends_of(drawn(400, 32_600, 2.1))  # about what ISIC 2024 gives a test split of
    assert 0.9 < value < 0.96
    assert (value - ours) == pytest.approx(value - plain, rel=0.03)


def test_pairs__go_with_the_rows_and_not_into_a_mean_or_a_difference() -> None:
    whole = drawn(4, 6, 1.0)
    assert whole.pairs == (4, 6)
    placed = on_rows(whole, np.arange(12) < 10)
    assert isinstance(placed, Staked)
    assert placed.pairs == (4, 6)
    for made in (mean_of([whole, whole]), difference(whole, whole)):
        assert isinstance(made, Staked)
        assert made.pairs is None
