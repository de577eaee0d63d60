"""Figures of a screening: what is found, what is recommended for it, by lesion and by patient, each arm beside the union."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.evaluation.bootstrap import Statistic, Weight, auroc_statistic
from panderm.evaluation.metrics import mean_statistic, sensitivity_at, specificity_at
from panderm.evaluation.stakes import Staked, resting_on
from panderm.tasks.screening import ARMS, UNION

_SAYS = 0.5  # between no and yes


def recommended(predictions: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return which lesions the union and each arm recommend, (N,)."""
    found = {UNION: predictions["predicted"].to_numpy(dtype=np.int64) == 1}
    return found | {arm: predictions[f"by_{arm}"].to_numpy(dtype=bool) for arm in ARMS}


def sensitivity(predictions: pd.DataFrame, arm: str = UNION) -> Statistic:
    """Return the share of malignant lesions that are recommended; NaN where there is none."""
    return sensitivity_at(predictions["target"], recommended(predictions)[arm], _SAYS)


def figures(predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return every further figure by name; the union's have no suffix, an arm's have its name."""
    target, found = predictions["target"].to_numpy(dtype=np.int64), {}
    for arm, says in recommended(predictions).items():
        suffix = "" if arm == UNION else f"_{arm}"
        if suffix:
            found[f"sensitivity{suffix}"] = sensitivity(predictions, arm)
        found |= {
            f"specificity{suffix}": specificity_at(target, says, _SAYS),
            f"lesions_recommended{suffix}": _count(says),
            f"share_recommended{suffix}": mean_statistic(says),
            f"patient_sensitivity{suffix}": _of_patients(predictions, says & (target == 1), target == 1),
            f"patients_with_recommendation{suffix}": _of_patients(predictions, says, np.ones(len(says), dtype=bool)),
        }
    found["risk_auroc"] = auroc_statistic(predictions["risk"] == "high", predictions["risk_score"])
    found["trees_auroc"] = auroc_statistic(target, predictions["trees_score"])
    return found


def _count(says: NDArray[np.bool_]) -> Statistic:
    """Return how many rows say so, of so many: a count has bounds of its own."""
    everyone = np.ones(len(says), dtype=bool)
    return Staked(lambda weight: float(weight[says].sum()), resting_on((1.0, everyone)), (0.0, float(len(says))))


def _of_patients(predictions: pd.DataFrame, hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> Statistic:
    """Return the share of patients with a row of ``hit`` among those with a row of ``among``.

    A patient weighs what the first row weighs: all rows of a patient weigh the same in a clustered replicate.
    """
    _, first, code = np.unique(predictions["patient"].to_numpy(dtype=str), return_index=True, return_inverse=True)
    has, counts = (np.bincount(code, weights=rows) > 0 for rows in (hit, among))

    def statistic(weight: Weight) -> float:
        of_patient = weight[first]
        total = of_patient[counts].sum()
        return float(of_patient[counts & has].sum() / total) if total else float("nan")

    return Staked(statistic, resting_on((1.0, first[counts])))


def counts(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the counts behind the figures, and which malignant lesions nobody recommends."""
    target, patients = predictions["target"] == 1, predictions["patient"]
    told: dict[str, Any] = {
        "lesions": len(predictions),
        "patients": int(patients.nunique()),
        "malignant": int(target.sum()),
        "patients_with_malignant": int(patients[target].nunique()),
        "missing_measurements": int(predictions["missing"].sum()),
        "missed": sorted(predictions["image_id"][target & (predictions["predicted"] == 0)]),
        "arms": {},
    }
    for arm, says in recommended(predictions).items():
        of_patient = pd.Series(says).groupby(patients.to_numpy()).sum()
        told["arms"][arm] = {
            "found": int((says & target.to_numpy()).sum()),
            "recommended": int(says.sum()),
            "patients": int((of_patient > 0).sum()),
            "most_of_a_patient": int(of_patient.max()),
            "median_of_a_patient": float(of_patient.median()),
        }
    return told
