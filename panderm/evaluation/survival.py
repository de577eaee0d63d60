"""Time until an event: does a score tell who relapses, and when (paper, Methods, Survival analysis)?

Pure functions of arrays with one row a patient: ``time`` (P,) in years, ``event`` (P,) bool (False: watched so long without),
``score`` (P,), larger meaning worse. The mathematics is that of scikit-survival and statsmodels; what they refuse with an
error of their own is refused here in one sentence.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.evaluation.bootstrap import Statistic, Weight, auroc_statistic
from panderm.evaluation.stakes import Staked, resting_on

Times = NDArray[np.float64]
Events = NDArray[np.bool_]

HORIZONS = (3.0, 5.0, 7.0)
"""Years at which the time-dependent AUC is stated (paper, Methods)."""

EVENTS_PER_TERM, LEAST_EVENTS_PER_TERM = 10, 2
"""Events a coefficient of a Cox model for its interval to be trusted (Peduzzi et al., 1995), and to be fitted at all (ours)."""


class Curve(NamedTuple):
    """A Kaplan-Meier estimate with its pointwise 95 % interval.

    Attributes:
        time: years, ascending, from 0.
        free: share without event after each time.
        low: lower end.
        high: upper end.
    """

    time: Times
    free: Times
    low: Times
    high: Times


class HazardRatio(NamedTuple):
    """A row of a Cox model.

    Attributes:
        name: the covariate.
        ratio: exp(coefficient), of one unit more.
        low: lower end of Wald's 95 % interval.
        high: upper end.
        p: of Wald's test.
    """

    name: str
    ratio: float
    low: float
    high: float
    p: float


class LogRank(NamedTuple):
    """The log-rank test of two groups: chi-squared with one degree of freedom, and its p."""

    chi2: float
    p: float


def above_median(score: Times) -> Events:
    """Return who is at high risk: a score above the median of all (paper)."""
    high: Events = score > np.median(score)
    return high


def kaplan_meier(time: Times, event: Events) -> Curve:
    """Return the share of patients without event over time, with log-log intervals."""
    from sksurv.nonparametric import kaplan_meier_estimator

    at, free, ends = kaplan_meier_estimator(event, time, conf_type="log-log")
    begin = np.ones(1)
    free, low, high = (np.concatenate([begin, values]) for values in (free, ends[0], ends[1]))
    return Curve(np.concatenate([[0.0], at]), free, low, high)


def at_risk(time: Times, when: Times) -> NDArray[np.int64]:
    """Return how many patients are still watched and without event just before each of ``when``."""
    watched: NDArray[np.int64] = (time[None, :] >= np.asarray(when)[:, None]).sum(axis=1).astype(np.int64)
    return watched


def log_rank(time: Times, event: Events, high: Events) -> LogRank:
    """Return the log-rank test of high against low risk.

    Raises:
        InputError: one of the two groups is empty, nobody has an event, or no event finds both groups still watched.
    """
    from sksurv.compare import compare_survival
    from sksurv.util import Surv

    if not event.any() or high.all() or not high.any():
        raise InputError(
            f"no log-rank test: {int(high.sum())} of {len(high)} patients are at high risk and {int(event.sum())} have an "
            "event; two groups and an event are needed"
        )
    try:
        chi2, p = compare_survival(Surv.from_arrays(event, time), high.astype(int))
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"no log-rank test: at none of the {int(event.sum())} events are patients of both groups still watched; deliver "
            "longer follow-up"
        ) from error
    return LogRank(float(chi2), float(p))


def cox(covariates: pd.DataFrame, time: Times, event: Events) -> list[HazardRatio]:
    """Fit Cox's proportional hazards with all covariates at once, ties by Efron.

    Args:
        covariates: one column a coefficient, complete; the frame's column names name the rows of the answer.
        time: years.
        event: whether it ended with an event.

    Raises:
        InputError: there are too few events for so many covariates, or they do not determine the coefficients.
    """
    events, terms = int(event.sum()), covariates.shape[1]
    if events < LEAST_EVENTS_PER_TERM * terms:
        raise InputError(
            f"no Cox model: {events} events in {len(event)} patients for {terms} coefficients; at least "
            f"{LEAST_EVENTS_PER_TERM} each are needed, deliver more patients or longer follow-up"
        )
    values = covariates.to_numpy(dtype=np.float64)
    spread, names = values.std(axis=0), [str(name) for name in covariates.columns]
    if (spread == 0).any() or np.linalg.matrix_rank(values - values.mean(axis=0)) < terms:
        raise InputError(
            f"no Cox model: the covariates {', '.join(names)} of {len(event)} patients are constant or follow from each "
            "other; leave one out"
        )
    found, error = _fitted((values - values.mean(axis=0)) / spread, time, event)
    if not (np.isfinite(found).all() and np.isfinite(error).all() and (error > 0).all()):
        raise InputError(
            "no Cox model: the coefficients do not converge; a covariate separates those with event from the rest, leave it out"
        )
    found, error = found / spread, error / spread
    return [_ratio(*row) for row in zip(names, found, error, strict=True)]


def _fitted(values: Times, time: Times, event: Events) -> tuple[Times, Times]:
    """Return coefficients and their errors, NaN where Newton's steps do not end; on standardised columns they are small."""
    from statsmodels.duration.hazard_regression import PHReg
    from statsmodels.tools.sm_exceptions import ConvergenceWarning, HessianInversionWarning

    nothing = np.full(values.shape[1], np.nan)
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for sign in (ConvergenceWarning, HessianInversionWarning):
            warnings.simplefilter("error", sign)
        try:
            fitted = PHReg(time, values, status=event.astype(int), ties="efron").fit(disp=0)
            return np.asarray(fitted.params), np.asarray(fitted.bse)
        except (ConvergenceWarning, HessianInversionWarning, np.linalg.LinAlgError):
            return nothing, nothing


def _ratio(name: str, coefficient: float, error: float) -> HazardRatio:
    from scipy.stats import norm

    def ratio(value: float) -> float:
        return float(np.exp(np.clip(value, -700, 700)))  # beyond, float64 ends; so large an interval says nothing anyway

    half = float(norm.ppf(0.975)) * error
    p = float(2 * norm.sf(abs(coefficient / error)))
    return HazardRatio(str(name), ratio(coefficient), ratio(coefficient - half), ratio(coefficient + half), p)


def concordance(time: Times, event: Events, score: Times) -> float:
    """Return Harrell's concordance index; NaN where no two patients can be compared."""
    from sksurv.exceptions import NoComparablePairException
    from sksurv.metrics import concordance_index_censored

    if not event.any() or len(event) < 2:
        return math.nan
    try:
        return float(concordance_index_censored(event, time, score)[0])
    except NoComparablePairException:
        return math.nan


def dynamic_auc(time: Times, event: Events, score: Times, horizon: float) -> float:
    """Return the AUC of those with an event by ``horizon`` against those without beyond it (cumulative, dynamic; Uno 2007).

    Patients who left before are made up for by weights (inverse probability of censoring).

    Raises:
        InputError: nobody has an event by then, or nobody is watched for longer.
    """
    from sksurv.metrics import cumulative_dynamic_auc
    from sksurv.util import Surv

    cases, controls = int((event & (time <= horizon)).sum()), int((time > horizon).sum())
    if not cases or not controls:
        raise InputError(
            f"no AUC at {horizon:g} years: {cases} patients have an event by then and {controls} are watched for longer; "
            "both are needed"
        )
    # What comes after the horizon does not enter; cut off there, the censoring weights cannot run into 0.
    late = time > horizon
    cut = Surv.from_arrays(event & ~late, np.where(late, horizon + 1.0, time))
    areas, _ = cumulative_dynamic_auc(cut, cut, score, [horizon])
    return float(areas[0])


def dynamic_auc_statistic(time: Times, event: Events, score: Times, horizon: float) -> Statistic:
    """Return :func:`dynamic_auc` as a statistic of the row weights, some hundred times as fast, for bootstrap replicates.

    The chance of still being watched is estimated anew from the weighted rows. NaN where the figure is undefined.
    """
    case, judged = event & (time <= horizon), (event & (time <= horizon)) | (time > horizon)
    moments, place = np.unique(time, return_inverse=True)
    area = auroc_statistic(case[judged], score[judged])

    def statistic(weight: Weight) -> float:
        watched = _still_watched(weight, event, place, len(moments))[place]
        share = np.divide(weight, watched, out=np.zeros_like(weight), where=watched > 0)
        return area(np.where(case, share, weight)[judged])

    return Staked(statistic, resting_on((1.0, case), (1.0, time > horizon)))


def _still_watched(weight: Weight, event: Events, place: NDArray[np.intp], moments: int) -> Times:
    """Return Kaplan and Meier's estimate of not having been lost to follow-up, at each moment; events come before losses."""
    lost = np.bincount(place, weights=weight * ~event, minlength=moments)
    ended = np.bincount(place, weights=weight * event, minlength=moments)
    remaining = np.cumsum((lost + ended)[::-1])[::-1] - ended
    leaving = np.divide(lost, remaining, out=np.zeros(moments), where=remaining > 0)
    chance: Times = np.cumprod(1.0 - leaving, dtype=np.float64)
    return chance
