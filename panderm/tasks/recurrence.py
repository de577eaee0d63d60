"""What an out-of-fold score says of the time to recurrence, a row a patient (paper, Methods, Survival analysis).

The endpoint is the recurrence-free interval, in stages I and II, since in III and IV the melanoma has spread already. A
patient's score is the mean over the images; clinical values are those of the thickest primary.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from panderm.core.errors import InputError
from panderm.evaluation import survival
from panderm.evaluation.bootstrap import by_index, cluster_bootstrap
from panderm.evaluation.covariates import SCORE, Design, design

STAGES = ("I", "II")
_ORDER = ("I", "II", "III", "IV")
_CLINICAL = ("age", "sex", "site", "breslow", "ulceration", "mitosis", "subtype")
HIGH = "high risk (score above median)"


class Patients(NamedTuple):
    """The patients of the analysis.

    Attributes:
        frame: one row a patient: ``patient, group, score, images, time`` (years), ``event, stage`` and clinical values.
        left_out: patients of other stages, and of none known.
    """

    frame: pd.DataFrame
    left_out: dict[str, int]

    @property
    def time(self) -> survival.Times:
        """Years until recurrence or end of follow-up."""
        return self.frame["time"].to_numpy(dtype=np.float64)

    @property
    def event(self) -> survival.Events:
        """Whether that was a recurrence."""
        return self.frame["event"].to_numpy(dtype=bool)

    @property
    def score(self) -> survival.Times:
        """Mean probability of a metastasis over the patient's images."""
        return self.frame["score"].to_numpy(dtype=np.float64)


def by_patient(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient of a predictions table; a patient's stage is the highest of any image."""
    known = predictions.assign(rank=predictions["stage"].map({name: n for n, name in enumerate(_ORDER)}))
    thickest = known.sort_values(["breslow", "image_id"], ascending=[False, True], na_position="last")
    first = thickest.groupby("patient").head(1).set_index("patient").sort_index()
    all_of = known.groupby("patient").agg(
        score=("score", "mean"), images=("image_id", "size"), rank=("rank", "max"), months=("rfi_months", "first")
    )
    frame = all_of.join(first[["group", "recurrence", *_CLINICAL]])
    frame["stage"] = frame["rank"].map(dict(enumerate(_ORDER)))
    frame = frame.assign(time=frame["months"] / 12.0, event=frame["recurrence"] == 1)
    return frame.drop(columns=["rank", "months", "recurrence"]).reset_index()


def analysed(predictions: pd.DataFrame) -> Patients:
    """Return the patients of stages I and II, and how many others there are."""
    everyone = by_patient(predictions)
    early = everyone["stage"].isin(STAGES)
    unknown = everyone["stage"].isna()
    left_out = {"of_other_stages": int((~early & ~unknown).sum()), "of_unknown_stage": int(unknown.sum())}
    return Patients(everyone[early].reset_index(drop=True), left_out)


def recurrence(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return every result of survival as JSON values; what cannot be computed says why.

    Args:
        predictions: out-of-fold table of :mod:`panderm.tasks.prognosis`.
    """
    people = analysed(predictions)
    told: dict[str, Any] = {
        "endpoint": "recurrence-free interval",
        "stages": list(STAGES),
        "patients": len(people.frame),
        "events": int(people.event.sum()),
        "left_out": people.left_out,
    }
    if people.frame.empty:
        return told | {"reason": "no patient of stage I or II; deliver the column `stage`"}
    return told | {
        "score_median": float(np.median(people.score)),
        "kaplan_meier": _kaplan_meier(people),
        "cox": cox_of(people)[1],
        "cox_by_risk_group": cox_of(people, by_group=True)[1],
        "dynamic_auc": dynamic_aucs(people),
        "concordance": _concordance(people),
    }


def _kaplan_meier(people: Patients) -> dict[str, Any]:
    high = survival.above_median(people.score)
    sizes = {
        name: {"patients": int(mine.sum()), "events": int(people.event[mine].sum())}
        for name, mine in (("low_risk", ~high), ("high_risk", high))
    }
    try:
        test = survival.log_rank(people.time, people.event, high)
    except InputError as error:
        return {**sizes, "reason": str(error)}
    return {**sizes, "chi2": test.chi2, "p": test.p}


def cox_of(people: Patients, by_group: bool = False) -> tuple[list[survival.HazardRatio], dict[str, Any]]:
    """Return the rows of the multivariate Cox model, none where it cannot be fitted, and the model as JSON values.

    Args:
        people: the patients.
        by_group: take the risk group (above the median or not) in place of the score; the paper does not say which it took.
    """
    made = design(people.frame)
    columns, used = made.columns, made.used.to_numpy()
    if by_group:
        high = survival.above_median(people.score)[used].astype(np.float64)
        columns = columns.rename(columns={SCORE: HIGH}).assign(**{HIGH: high})
    events = int(people.event[used].sum())
    told = {"patients": int(used.sum()), "events": events} | _of_design(made)
    try:
        rows = survival.cox(columns, people.time[used], people.event[used])
    except InputError as error:
        return [], told | {"reason": str(error)}
    if events < survival.EVENTS_PER_TERM * len(rows):
        told["caution"] = (
            f"{events} events for {len(rows)} coefficients; below {survival.EVENTS_PER_TERM} each, "
            "intervals are not to be trusted"
        )
    return rows, told | {"hazard_ratios": [row._asdict() for row in rows]}


def _of_design(made: Design) -> dict[str, Any]:
    return {"missing": made.missing, "not_in_the_model": made.constant, "held_against": made.reference}


def dynamic_aucs(people: Patients) -> list[dict[str, Any]]:
    """Return the time-dependent AUC at each horizon with its interval over patients, or why there is none."""
    rows = []
    for years in survival.HORIZONS:
        row: dict[str, Any] = {"years": years, "value": None, "low": None, "high": None}
        try:
            row["value"] = survival.dynamic_auc(people.time, people.event, people.score, years)
            statistic = survival.dynamic_auc_statistic(people.time, people.event, people.score, years)
            made = cluster_bootstrap(statistic, people.frame["group"].to_numpy())
            row |= {"low": _known(made.low), "high": _known(made.high)}
        except InputError as error:
            row["reason"] = str(error)
        rows.append(row)
    return rows


def _concordance(people: Patients) -> dict[str, float | None]:
    time, event, score = people.time, people.event, people.score
    statistic = by_index(lambda rows: survival.concordance(time[rows], event[rows], score[rows]))
    made = cluster_bootstrap(statistic, people.frame["group"].to_numpy())
    return {"value": _known(made.value), "low": _known(made.low), "high": _known(made.high)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def draw_recurrence(folder: Path, predictions: pd.DataFrame, title: str) -> None:
    """Write ``kaplan_meier.png``, ``forest.png`` and ``dynamic_auc.png``, those that there is something to draw of."""
    from panderm.evaluation import survival_plots as plots

    people = analysed(predictions)
    if people.frame.empty:
        return
    high = survival.above_median(people.score)
    words = f"{len(high)} patients of stage I and II"
    if high.any() and not high.all():
        told = _kaplan_meier(people)
        p = "" if "p" not in told else ", log-rank P < 0.001" if told["p"] < 0.001 else f", log-rank P = {told['p']:.3f}"
        plots.draw_kaplan_meier(folder / "kaplan_meier.png", people.time, people.event, high, f"{title}: {words}{p}")
    rows, model = cox_of(people)
    if rows:
        words = f"{model['patients']} complete patients, {model['events']} events"
        plots.draw_forest(folder / "forest.png", rows, f"{title}: Cox model, {words}")
    areas = dynamic_aucs(people)
    if any(row["value"] is not None for row in areas):
        plots.draw_dynamic_auc(folder / "dynamic_auc.png", areas, f"{title}: AUC over time, 95 % intervals")
