"""``survival`` of a report as tables: Kaplan-Meier groups with the log-rank test, Cox models, AUC over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from panderm.evaluation.covariates import SCORE
from panderm.reporting.table import Own, Report, Table, interval_cell
from panderm.reporting.words import listed, p_value, with_interval
from panderm.tasks.recurrence import HIGH

_HR, _AUC = "hazard_ratio", "auc"
_MODELS = {"cox": "Cox model with the score", "cox_by_risk_group": "Cox model with the risk group in place of the score"}
_GROUPS = {"low_risk": "low risk (score up to the median)", "high_risk": HIGH}


def survival_tables(report: Report) -> Iterator[Table]:
    """Yield the tables of a prognosis; each says beneath what could not be computed and why."""
    told = report["survival"]
    title = f"Survival: {told['endpoint']}, stages {' and '.join(told['stages'])}"
    left = listed(told["left_out"])
    notes = (f"Patients left out: {left}.",) if left else ()
    if "reason" in told:
        yield Table(title, notes=(*notes, told["reason"]))
        return
    yield _kaplan_meier(title, told, notes)
    for name, words in _MODELS.items():
        yield _cox(words, told[name])
    yield _over_time(told)


def _kaplan_meier(title: str, told: dict[str, Any], notes: tuple[str, ...]) -> Table:
    groups = told["kaplan_meier"]
    rows = [(words, str(groups[name]["patients"]), str(groups[name]["events"])) for name, words in _GROUPS.items()]
    rows.append(("together", str(told["patients"]), str(told["events"])))
    test = groups.get("reason") or f"Log-rank test between the groups: chi² {groups['chi2']:.2f}, P {p_value(groups['p'])}."
    median = f"Median of the score: {told['score_median']:.3f}."
    return Table(title, ("risk group", "patients", "recurrences"), tuple(rows), (test, median, *notes))


def _cox(title: str, model: dict[str, Any]) -> Table:
    rows = tuple(
        (row["name"], with_interval(_HR, row["ratio"], row["low"], row["high"]), p_value(row["p"]))
        for row in model.get("hazard_ratios", [])
    )
    against = ", ".join(f"{name} {value}" for name, value in model["held_against"].items())
    missing, constant = listed(model["missing"]), ", ".join(model["not_in_the_model"])
    notes = (
        f"{model['patients']} patients with every value, {model['events']} recurrences.",
        f"Held against: {against}." if against else "",
        f"Patients without the value: {missing}." if missing else "",
        f"Not in the model, as all are alike in it: {constant}." if constant else "",
        model.get("caution", ""),
        model.get("reason", ""),
    )
    columns = ("covariate", "hazard ratio (95 % interval)", "Wald's P") if rows else ()
    return Table(title, columns, rows, tuple(filter(None, notes)))


def _over_time(told: dict[str, Any]) -> Table:
    rows = [(f"AUC at {row['years']:g} years", interval_cell(_AUC, row)) for row in told["dynamic_auc"]]
    rows.append(("concordance (Harrell)", interval_cell(_AUC, told["concordance"])))
    reasons = tuple(row["reason"] for row in told["dynamic_auc"] if "reason" in row)
    return Table("Score against time to recurrence", ("figure", "value (95 % interval)"), tuple(rows), reasons)


def survival_figures(report: Report) -> Iterator[Own]:
    """Yield hazard ratios and areas under the names by which the catalogue knows the paper's.

    The hazard ratio is that of the score and that of the risk group: the paper does not say of which its own is.
    """
    told = report["survival"]
    for model in _MODELS:
        for row in told.get(model, {}).get("hazard_ratios", []):
            if row["name"] in (SCORE, HIGH):
                yield Own(_HR, f"hazard ratio of {row['name']}", row["ratio"], row["low"], row["high"])
    for row in told.get("dynamic_auc", []):
        name = f"{_AUC}_{row['years']:g}_years"
        yield Own(name, f"AUC at {row['years']:g} years", row["value"], row["low"], row["high"])
