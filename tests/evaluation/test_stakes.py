from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from panderm.catalog import benchmark
from panderm.evaluation.bootstrap import Statistic, auroc_statistic, cluster_bootstrap, weighted_f1_statistic
from panderm.evaluation.figures import Resampling, all_figures
from panderm.evaluation.intervals import unseen
from panderm.evaluation.kfold import mean_over_folds
from panderm.evaluation.metrics import (
    aupr_statistic,
    balanced_accuracy_statistic,
    kappa_statistic,
    macro_recall_statistic,
    mean_statistic,
    sensitivity_at,
    specificity_at,
)
from panderm.evaluation.stakes import Staked, difference, mean_of, on_rows

TARGET = np.array([1] * 4 + [0] * 12)
ALONE = np.arange(16)


def stakes(statistic: Statistic, groups: np.ndarray = ALONE) -> np.ndarray:
    assert isinstance(statistic, Staked)
    return statistic.stakes(groups)


def test_unseen__equal_stakes_are_clopper_pearson() -> None:
    for groups in (1, 3, 10, 200):
        assert unseen(np.full(groups, 1 / groups), 0.95) == pytest.approx(1 - 0.025 ** (1 / groups))
    assert unseen(np.zeros(5), 0.95) == 0.0
    assert unseen(np.array([1.0, 1.0, 0.0]), 0.95) == 1.0, "no more than all can be lost"


@pytest.mark.parametrize("unequal", [[0.5, 0.2, 0.2, 0.1], [0.05] * 10 + [0.005] * 100, [0.3, 0.3, 0.01]])
def test_unseen__unequal_stakes_are_the_worst_that_would_still_not_show(unequal: list[float]) -> None:
    dear = np.array(unequal)
    some = {"type": "ineq", "fun": lambda p: np.log1p(-p).sum() - np.log(0.025)}
    start = np.full(len(dear), 1 - 0.025 ** (1 / len(dear)))
    found = minimize(lambda p: -dear @ p, start, bounds=[(0, 1 - 1e-9)] * len(dear), constraints=[some])
    assert unseen(dear, 0.95) == pytest.approx(-found.fun, abs=1e-4)


def test_stakes__a_figure_rests_on_the_rows_that_it_looks_at() -> None:
    score = TARGET * 0.9
    np.testing.assert_allclose(stakes(sensitivity_at(TARGET, score, 0.5)), TARGET / 4)
    np.testing.assert_allclose(stakes(specificity_at(TARGET, score, 0.5)), (1 - TARGET) / 12)
    np.testing.assert_allclose(stakes(auroc_statistic(TARGET, score)), np.where(TARGET == 1, 1 / 4, 1 / 12))
    for everyone in (mean_statistic(score), weighted_f1_statistic(TARGET, TARGET, 2)):
        np.testing.assert_allclose(stakes(everyone), 1 / 16)
    for by_class in (balanced_accuracy_statistic, macro_recall_statistic):
        np.testing.assert_allclose(stakes(by_class(TARGET, TARGET, 3)), np.where(TARGET == 1, 1 / 8, 1 / 24))


def test_stakes__groups_count_not_their_rows() -> None:
    patients = np.array([0, 0, 0, 1] + [1] * 6 + [2] * 6)  # patient 1 has both classes
    np.testing.assert_allclose(stakes(sensitivity_at(TARGET, TARGET, 0.5), patients), [1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(stakes(auroc_statistic(TARGET, TARGET), patients), [1 / 2, 1, 1 / 2])


def worst_loss(make: Callable[[np.ndarray], Statistic], right: np.ndarray, answers: np.ndarray, row: int) -> float:
    """How much a perfect figure loses at most if one row is answered otherwise."""
    lost = [make(np.where(row == ALONE, other, right))(np.ones(16)) for other in answers]
    return 1 - min(value for value in lost if not np.isnan(value))


@pytest.mark.parametrize("row", [0, 15])
def test_stakes__are_no_less_than_what_one_wrong_row_costs(row: int) -> None:
    grades = np.array([3] * 4 + [1] * 6 + [0] * 6)
    figures: list[tuple[Callable[[np.ndarray], Statistic], np.ndarray, np.ndarray]] = [
        (lambda score: auroc_statistic(TARGET, score), TARGET * 1.0, np.array([-1.0, 2.0])),
        (lambda score: aupr_statistic(TARGET == 1, score), TARGET * 1.0, np.array([-1.0, 2.0])),
        (lambda said: balanced_accuracy_statistic(grades, said, 4), grades, np.array([0, 1, 3])),
        (lambda said: mean_statistic(said == grades), grades, np.array([0, 1, 3])),
        (lambda said: kappa_statistic(grades, said, 4), grades, np.arange(4)),
    ]
    for make, right, answers in figures:
        assert make(right)(np.ones(16)) == 1.0
        assert 0 < worst_loss(make, right, answers, row) <= stakes(make(right))[row] * 1.1


def test_stakes__of_parts_are_put_together() -> None:
    first, rest = ALONE < 8, ALONE >= 8
    undefined = sensitivity_at(TARGET[rest], TARGET[rest], 0.5)  # no positive among the rest
    whole = mean_of([on_rows(mean_statistic(np.ones(8)), first), on_rows(undefined, rest)])
    assert whole(np.ones(16)) == 1.0
    np.testing.assert_allclose(stakes(whole), [1 / 8] * 8 + [0] * 8)
    frame = pd.DataFrame({"fold": ALONE % 2, "y": TARGET})
    folds = mean_over_folds(frame, lambda part: sensitivity_at(part["y"], part["y"], 0.5))
    np.testing.assert_allclose(stakes(folds), TARGET / 4)
    gap = difference(sensitivity_at(TARGET, TARGET, 0.5), mean_statistic(np.ones(16)))
    np.testing.assert_allclose(stakes(gap), np.where(TARGET == 1, 1 / 4, 1 / 16))
    assert stakes(difference(whole, whole, alike=True)).sum() == 0
    silent = lambda weight: float(weight.max())  # noqa: E731
    for made in (on_rows(silent, first), mean_of([silent, whole]), difference(whole, silent)):
        assert not isinstance(made, Staked)


def perfect(classes: int, rare: int) -> pd.DataFrame:
    """Predictions that are all right: ``rare`` patients of the last class, a thousand in all."""
    target = np.where(np.arange(1000) < rare, classes - 1, np.arange(1000) % (classes - 1))
    scores = 0.9 * np.eye(classes)[target] + 0.1 / classes
    frame = pd.DataFrame({f"p_{n}": scores[:, n] for n in range(classes)})
    frame = frame.assign(target=target, predicted=target, group=[f"g{n:04d}" for n in range(1000)])
    return frame.assign(age=None, sex=np.where(np.arange(1000) < 500, "female", "male"), site=None, skin_type=None)


@pytest.mark.parametrize("task", ["isic2024", "ham10000"])
def test_all_figures__none_of_a_perfect_table_is_surer_than_the_rare_class_allows(task: str) -> None:
    row = benchmark(task)
    figures = all_figures(row, perfect(len(row.classes), 20), Resampling(replicates=100))
    of_class = {(figure.name, figure.metric): figure for figure in figures if figure.scope == "class"}
    twenty = 0.025 ** (1 / 20)
    assert of_class[row.classes[-1], "sensitivity"].low == pytest.approx(twenty)
    assert of_class[row.classes[-1], "auroc"].low == pytest.approx(twenty, abs=0.02)
    assert of_class[row.classes[-1], "specificity"].low > 0.99
    at_a_bound = [figure for figure in figures if figure.value in (0.0, 1.0)]
    assert len(at_a_bound) > 10
    assert not any(np.isnan(figure.low) for figure in at_a_bound), "every metric says what it rests on"
    overall = {figure.metric: figure.low for figure in figures if figure.scope == "overall"}
    assert overall["weighted_f1"] > 0.99
    assert overall["balanced_accuracy"] == pytest.approx(1 - (1 - twenty) / len(row.classes), abs=0.01)


def test_counts__have_bounds_of_their_own() -> None:
    from panderm.tasks.screening_figures import _count

    groups = np.arange(60) // 3
    none = cluster_bootstrap(_count(np.zeros(60, dtype=bool)), groups, replicates=100)
    assert none[:3] == (0.0, 0.0, pytest.approx(60 * (1 - 0.025 ** (1 / 20)))), "up to 10 lesions, not 0.17"
    some = cluster_bootstrap(_count(np.arange(60) < 3), groups, replicates=100)
    assert 0 < some.low < 3 < some.high < 60
