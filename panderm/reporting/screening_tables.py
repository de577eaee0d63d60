"""``screening`` of a report as tables: what each arm and their union find and recommend, by lesion and by patient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from panderm.reporting.table import Report, Table, interval_cell
from panderm.tasks.screening import ARMS, UNION

_ARMS = {UNION: "union of the three", "risk": "risk head", "duckling": "ugly duckling", "trees": "extra trees"}
_BY_LESION = ("sensitivity", "lesions_recommended", "share_recommended", "specificity")
_BY_PATIENT = ("patient_sensitivity", "patients_with_recommendation")
_NAMED = 10  # missed lesions that are named; a longer list is in report.json


def screening_tables(report: Report) -> Iterator[Table]:
    """Yield a table by lesion and one by patient, the union's row first."""
    told, arms = report["screening"], [name for name in (UNION, *ARMS) if name in report["screening"]["arms"]]
    yield Table(
        f"Screening by lesion: {told['lesions']:,} lesions, {told['malignant']:,} malignant",
        ("arm", "malignant lesions found", "sensitivity", "lesions recommended", "share of lesions", "specificity"),
        tuple(_by_lesion(report, told, arm) for arm in arms),
        tuple(_notes(told)),
        _quoted(arms, _BY_LESION),
    )
    yield Table(
        f"Screening by patient: {told['patients']:,} patients, {told['patients_with_malignant']:,} with a malignant lesion",
        ("arm", "share of these with one found", "patients with a recommendation", "share", "lesions each, median", "most"),
        tuple(_by_patient(report, told, arm) for arm in arms),
        (),
        _quoted(arms, _BY_PATIENT),
    )


def _by_lesion(report: Report, told: dict[str, Any], arm: str) -> tuple[str, ...]:
    return (_ARMS[arm], f"{told['arms'][arm]['found']:,} of {told['malignant']:,}", *_cells(report, arm, _BY_LESION))


def _by_patient(report: Report, told: dict[str, Any], arm: str) -> tuple[str, ...]:
    found, recommended = _cells(report, arm, _BY_PATIENT)
    of_arm = told["arms"][arm]
    each = (f"{of_arm['median_of_a_patient']:g}", f"{of_arm['most_of_a_patient']:,}")
    return (_ARMS[arm], found, f"{of_arm['patients']:,} of {told['patients']:,}", recommended, *each)


def _cells(report: Report, arm: str, names: tuple[str, ...]) -> list[str]:
    """Return the figures of an arm with their intervals; the primary metric is the report's own, not among ``others``."""
    figures = report.get("others", {}) | {report["metric"]: report}
    return [interval_cell(name, figures.get(_name(name, arm))) for name in names]


def _name(name: str, arm: str) -> str:
    return name if arm == UNION else f"{name}_{arm}"


def _quoted(arms: list[str], names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_name(name, arm) for name in names for arm in arms)


def _notes(told: dict[str, Any]) -> Iterator[str]:
    missed = told["missed"]
    if missed:
        more = f" and {len(missed) - _NAMED:,} more (report.json)" if len(missed) > _NAMED else ""
        yield f"Malignant and recommended by no arm: {', '.join(missed[:_NAMED])}{more}."
    if told["missing_measurements"]:
        yield f"{told['missing_measurements']:,} missing measurements were filled with the training median."
