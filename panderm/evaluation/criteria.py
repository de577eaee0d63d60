"""The criteria of a verdict, each a function from evidence and thresholds to an outcome in plain words.

An interval decides, never a point: wholly on the good side of a threshold passes, wholly on the bad side fails, across
it is too little evidence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.evaluation.bootstrap import Interval, cluster_bootstrap, paired_bootstrap, replicate_weights
from panderm.evaluation.evidence import Evidence, answers_alike
from panderm.evaluation.subgroups import subgroup
from panderm.evaluation.verdict import Criterion, Outcome
from panderm.evaluation.words import words
from panderm.tasks.kinds import judged_classes


class Thresholds(NamedTuple):
    """What a task is held against; see ``panderm.gate.Config`` for each number's reason."""

    floor: float
    above_blind: float
    min_groups: int
    min_class_groups: int
    margin: float
    max_gap: float
    subgroup_min_groups: int
    replicates: int
    seed: int
    level: float


def decide(interval: Interval, threshold: float) -> Outcome:
    """Return pass if the interval lies at or above ``threshold``, fail if below, else insufficient evidence."""
    if math.isnan(interval.low) or math.isnan(interval.high):
        return Outcome.INSUFFICIENT
    if interval.low >= threshold:
        return Outcome.PASS
    return Outcome.FAIL if interval.high < threshold else Outcome.INSUFFICIENT


def judge_test_size(evidence: Evidence, limits: Thresholds) -> Criterion:
    """Are there patients (or lesions, or images) enough for an interval to mean what it says? Never a failure."""
    frame = evidence.predictions
    groups = int(frame["group"].nunique())
    of_class = _groups_by_class(evidence)
    short = {name: n for name, n in of_class.items() if n < limits.min_class_groups}
    enough = groups >= limits.min_groups and not short
    fewest = min(of_class, key=lambda name: of_class[name], default="")
    seen = f"{groups} groups, {len(frame)} images" + (f"; fewest: {of_class[fewest]} of {fewest}" if of_class else "")
    if enough:
        of_each = f" and every class at least {limits.min_class_groups}" if of_class else ""
        reason = f"The test split has {groups} patients or lesions{of_each}."
    elif short:
        few = ", ".join(f"{name} ({n})" for name, n in short.items())
        reason = (
            f"Too few patients or lesions in the test split to judge: {few}; at least {limits.min_class_groups} of each class."
        )
    else:
        reason = f"The test split has {groups} patients or lesions; below {limits.min_groups} an interval is not to be trusted."
    needed = f"at least {limits.min_groups} groups" + (f", {limits.min_class_groups} of each class" if of_class else "")
    return Criterion(name="test_size", outcome=_enough(enough), seen=seen, needed=needed, reason=reason)


def _groups_by_class(evidence: Evidence) -> dict[str, int]:
    """Return groups by class; none for tasks whose answer is no class, such as a mask."""
    frame = evidence.predictions
    if "target" not in frame:
        return {}
    names = judged_classes(evidence.task)
    return {name: int(frame.loc[frame["target"] == n, "group"].nunique()) for n, name in enumerate(names)}


def _enough(yes: bool) -> Outcome:
    return Outcome.PASS if yes else Outcome.INSUFFICIENT


def blind_f1(evidence: Evidence) -> float:
    """Return the best weighted F1 on this test split without looking at an image: one class always, or by frequency."""
    shares = np.bincount(evidence.predictions["target"], minlength=len(evidence.classes)) / len(evidence.predictions)
    always = float(shares.max() * 2 * shares.max() / (1 + shares.max()))
    return max(always, float(shares @ shares))


def judge_floor(evidence: Evidence, limits: Thresholds) -> Criterion:
    """Is the model good enough at all, by the lower end of its interval?"""
    metric, floor, why = evidence.task.metric, limits.floor, ""
    if metric == "weighted_f1":
        blind = blind_f1(evidence)
        if blind + limits.above_blind > floor:
            floor = blind + limits.above_blind
            why = f" (answering blindly comes to {blind:.3f} on this split, and {limits.above_blind:g} more is asked)"
    interval = _bootstrap(evidence, limits)
    outcome = decide(interval, floor)
    where = {
        Outcome.PASS: "all of it at or above",
        Outcome.FAIL: "all of it below",
        Outcome.INSUFFICIENT: "which does not settle whether it is above",
    }[outcome]
    reason = f"{_first(words(metric))}{evidence.whose} is {_with_interval(interval)}, {where} the floor {floor:.3f}{why}."
    return Criterion(
        name="floor", outcome=outcome, seen=_with_interval(interval), needed=f"lower end >= {floor:.3f}", reason=reason
    )


def judge_champion(evidence: Evidence, limits: Thresholds) -> Criterion:
    """Is the model no worse than what serves, by the paired difference on the same images?"""
    theirs = evidence.champion_predictions
    needed = f"lower end of challenger - champion >= -{limits.margin:g}"
    if theirs is None or evidence.champion is None:
        reason = "First release: nothing serves yet, so only the floor and the subgroups are judged."
        return Criterion(name="champion", outcome=Outcome.PASS, seen="no champion", needed=needed, reason=reason)
    difference = paired_bootstrap(
        evidence.statistic(evidence.predictions),
        evidence.statistic(theirs),
        evidence.predictions["group"].to_numpy(),
        replicates=limits.replicates,
        seed=limits.seed,
        level=limits.level,
        alike=answers_alike(evidence.task, evidence.predictions, theirs),
    )
    outcome = decide(difference, -limits.margin)
    verdict = {
        Outcome.PASS: f"so it is not worse by more than the margin of {limits.margin:g}",
        Outcome.FAIL: f"so it is worse by more than the margin of {limits.margin:g}",
        Outcome.INSUFFICIENT: f"which does not settle whether it is worse by more than the margin of {limits.margin:g}",
    }[outcome]
    reason = (
        f"Against version {evidence.champion.version} on the same {len(theirs)} images the "
        f"{words(evidence.task.metric)}{evidence.whose} differs by {_with_interval(difference, sign=True)}, {verdict}."
    )
    return Criterion(name="champion", outcome=outcome, seen=_with_interval(difference, sign=True), needed=needed, reason=reason)


def judge_subgroups(evidence: Evidence, limits: Thresholds, column: str) -> Criterion | None:
    """Does the model serve one subgroup markedly worse than another? None where the column is unknown throughout.

    Only subgroups of enough patients are compared. The interval of the gap between the best and the worst allows for
    their having been picked: the spread of all subgroups' errors over the replicates, each held against its own figure,
    is how wide a gap noise alone opens, and that is taken off (as in Tukey's studentised range). It fails only if more
    than ``max_gap`` is left; a small subgroup can neither fail a model nor hold it back, but it is named.
    """
    names = subgroup(evidence.predictions, column)
    sizes = evidence.predictions["group"].groupby(names).nunique()
    if sizes.empty:
        return None
    figures, noise, small = _by_subgroup(evidence, limits, names, sizes)
    aside = f" Too small to judge: {', '.join(f'{name} ({sizes[name]})' for name in small)}." if small else ""
    name, needed = f"subgroups:{column}", f"gap beyond noise <= {limits.max_gap:g}"
    if len(figures) < 2:
        enough = limits.subgroup_min_groups
        reason = f"By {column}, fewer than two subgroups have {enough} patients or lesions, so no gap is judged.{aside}"
        return Criterion(name=name, outcome=Outcome.PASS, seen="not enough to compare", needed=needed, reason=reason)
    worst, best = min(figures, key=lambda n: figures[n]), max(figures, key=lambda n: figures[n])
    gap = figures[best] - figures[worst]
    low = max(0.0, gap - noise)
    failed = low > limits.max_gap
    verdict = (
        f"more than the {limits.max_gap:g} allowed" if failed else f"not shown to be more than the {limits.max_gap:g} allowed"
    )
    reason = (
        f"By {column}, {words(evidence.task.metric)}{evidence.whose} runs from {figures[worst]:.3f} ({worst}) to "
        f"{figures[best]:.3f} ({best}); of the gap of {gap:.3f}, {low:.3f} is beyond noise, {verdict}.{aside}"
    )
    seen = f"gap {gap:.3f}, beyond noise {low:.3f}"
    return Criterion(name=name, outcome=Outcome.FAIL if failed else Outcome.PASS, seen=seen, needed=needed, reason=reason)


def _by_subgroup(
    evidence: Evidence, limits: Thresholds, names: pd.Series, sizes: pd.Series
) -> tuple[dict[str, float], float, list[str]]:
    """Return the figure of each subgroup that can be judged, how wide a gap noise opens, and the others' names."""
    frame, everyone = evidence.predictions, np.ones(len(evidence.predictions))
    members = {name: (names == name).to_numpy() for name in sorted(sizes.index)}
    statistics = {}
    for name, member in members.items():
        part = evidence.statistic(frame[member])
        judged = sizes[name] >= limits.subgroup_min_groups and not math.isnan(part(everyone[member]))
        if judged and _has_classes(evidence, frame[member], limits):
            statistics[name] = part
    small = [name for name in members if name not in statistics]
    figures = {name: part(everyone[members[name]]) for name, part in statistics.items()}
    if len(figures) < 2:
        return figures, 0.0, small
    errors: list[NDArray[np.float64]] = [
        np.array([part(weight[members[name]]) - figures[name] for name, part in statistics.items()])
        for weight in replicate_weights(frame["group"].to_numpy(), limits.replicates, limits.seed)
    ]
    spread = np.ptp(np.stack(errors), axis=1)
    return figures, float(np.nanquantile(spread, limits.level)), small  # a replicate without a class of a subgroup is left out


def _has_classes(evidence: Evidence, members: pd.DataFrame, limits: Thresholds) -> bool:
    """Return whether a subgroup has enough groups of each class for a figure that compares classes."""
    if evidence.task.metric not in ("auroc", "sensitivity"):
        return True
    return bool(members.groupby("target")["group"].nunique().min() >= limits.min_class_groups)


def _bootstrap(evidence: Evidence, limits: Thresholds) -> Interval:
    return cluster_bootstrap(
        evidence.statistic(evidence.predictions),
        evidence.predictions["group"].to_numpy(),
        replicates=limits.replicates,
        seed=limits.seed,
        level=limits.level,
    )


def _first(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _with_interval(interval: Interval, sign: bool = False) -> str:
    if math.isnan(interval.value):
        return "undefined (a class is missing)"
    style = "+.3f" if sign else ".3f"
    if math.isnan(interval.low):
        return f"{interval.value:{style}} (no interval)"
    return f"{interval.value:{style}} ({interval.low:{style}} to {interval.high:{style}})"
