from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.evaluation import survival
from panderm.evaluation.bootstrap import by_index


@pytest.fixture(scope="module")
def gbsg2() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The German Breast Cancer Study Group's trial, 686 patients: every survival package's example."""
    from sksurv.datasets import load_gbsg2

    x, y = load_gbsg2()
    return x, y["time"].astype(np.float64), y["cens"]


def simulated(patients: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    score = rng.random(patients).round(2 if ties else 9)
    relapse, leaves = rng.exponential(9 * np.exp(-2 * score)), rng.uniform(1, 12, patients)
    time = np.minimum(relapse, leaves)
    return (np.ceil(time) if ties else time), relapse <= leaves, score


def test_cox__agrees_with_the_published_fit(gbsg2: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    """R's coxph(Surv(time, cens) ~ ., data = GBSG2), in the vignettes of TH.data."""
    x, time, event = gbsg2
    frame = pd.DataFrame({name: x[name].astype(float) for name in ("age", "tsize", "pnodes", "progrec", "estrec")})
    frame["horTh"], frame["menostat"] = (x["horTh"] == "yes").astype(float), (x["menostat"] == "Post").astype(float)
    frame["II"], frame["III"] = (x["tgrade"] == "II").astype(float), (x["tgrade"] == "III").astype(float)
    found = {row.name: row for row in survival.cox(frame, time, event)}
    assert np.log(found["horTh"].ratio) == pytest.approx(-0.3462784, abs=1e-6)
    assert np.log(found["pnodes"].ratio) == pytest.approx(0.0487886, abs=1e-6)
    assert np.log(found["progrec"].ratio) == pytest.approx(-0.0022172, abs=1e-6)
    assert np.log(found["horTh"].high / found["horTh"].low) / 2 / 1.959964 == pytest.approx(0.1290747, abs=1e-6)
    assert found["horTh"].p == pytest.approx(0.0073, abs=1e-4)


def test_log_rank__agrees_with_the_published_test(gbsg2: tuple[pd.DataFrame, np.ndarray, np.ndarray]) -> None:
    """R's survdiff(Surv(time, cens) ~ horTh, data = GBSG2): chi-squared 8.6 on 1 degree of freedom, p = 0.003."""
    x, time, event = gbsg2
    test = survival.log_rank(time, event, (x["horTh"] == "yes").to_numpy())
    assert test.chi2 == pytest.approx(8.565, abs=5e-3)
    assert test.p == pytest.approx(0.0034, abs=1e-4)


def test_kaplan_meier__by_hand() -> None:
    """Five patients: events at 1 and 3, leaving at 2 and 4, event at 5: 4/5, then 4/5 * 2/3, then 0."""
    time, event = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([True, False, True, False, True])
    curve = survival.kaplan_meier(time, event)
    assert list(curve.time) == [0, 1, 2, 3, 4, 5]
    assert curve.free == pytest.approx([1, 0.8, 0.8, 0.8 * 2 / 3, 0.8 * 2 / 3, 0])
    assert list(survival.at_risk(time, np.array([0.0, 1.0, 2.5]))) == [5, 5, 3]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("horizon", survival.HORIZONS)
def test_dynamic_auc_statistic__is_the_library_s_on_every_replicate(ties: bool, horizon: float) -> None:
    time, event, score = simulated(120, ties)
    ours = survival.dynamic_auc_statistic(time, event, score, horizon)
    library = by_index(lambda rows: survival.dynamic_auc(time[rows], event[rows], score[rows], horizon))
    rng = np.random.default_rng(1)
    for weight in [np.ones(120), *(np.bincount(rng.integers(0, 120, 120), minlength=120).astype(float) for _ in range(5))]:
        assert ours(weight) == pytest.approx(library(weight), abs=1e-9)


def test_dynamic_auc__is_the_plain_auroc_where_nobody_leaves() -> None:
    time, score = np.array([1.0, 2.0, 9.0, 9.5]), np.array([0.9, 0.4, 0.5, 0.1])
    event = np.ones(4, dtype=bool)
    assert survival.dynamic_auc(time, event, score, 5.0) == pytest.approx(0.75)
    assert survival.dynamic_auc_statistic(time, event, score, 5.0)(np.ones(4)) == pytest.approx(0.75)


def test_dynamic_auc__says_where_it_is_undefined() -> None:
    with pytest.raises(InputError, match="no AUC at 7 years: 2 patients have an event by then and 0 are watched for longer"):
        survival.dynamic_auc(np.array([1.0, 2.0]), np.array([True, True]), np.array([0.1, 0.2]), 7.0)
    assert np.isnan(survival.dynamic_auc_statistic(np.array([1.0]), np.array([True]), np.array([0.1]), 7.0)(np.ones(1)))


def test_cox__too_few_events_or_a_constant_covariate_is_one_sentence() -> None:
    time, event, score = simulated(40)
    frame = pd.DataFrame({"score": score, "one": 1.0})
    with pytest.raises(InputError, match="are constant or follow from each other"):
        survival.cox(frame, time, event)
    few = np.zeros(40, dtype=bool)
    few[:3] = True
    with pytest.raises(InputError, match="3 events in 40 patients for 2 coefficients; at least 2 each"):
        survival.cox(frame, time, few)


@pytest.mark.filterwarnings("error")
def test_cox__a_covariate_that_separates_is_one_sentence() -> None:
    event = np.arange(40) < 20
    frame = pd.DataFrame({"told": event.astype(float)})
    with pytest.raises(InputError, match="the coefficients do not converge; a covariate separates"):
        survival.cox(frame, np.where(event, 1.0, 2.0) + np.arange(40) / 100, event)


def test_log_rank__needs_two_groups() -> None:
    with pytest.raises(InputError, match="0 of 2 patients are at high risk"):
        survival.log_rank(np.ones(2), np.ones(2, dtype=bool), survival.above_median(np.ones(2)))


def test_concordance__without_a_pair_is_undefined() -> None:
    assert np.isnan(survival.concordance(np.ones(2), np.zeros(2, dtype=bool), np.ones(2)))
    assert survival.concordance(np.array([1.0, 2.0]), np.array([True, False]), np.array([0.9, 0.1])) == 1.0


def test_log_rank__no_event_while_both_groups_are_watched() -> None:
    time, event = np.arange(1.0, 7.0), np.arange(6) == 5  # all but one have left when it happens
    with pytest.raises(InputError, match="at none of the 1 events are patients of both groups still watched"):
        survival.log_rank(time, event, time > 3)
