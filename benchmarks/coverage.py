"""How often does the default 95 % interval hold the truth when a test split is small? Where the gate's least sizes come from.

``python benchmarks/coverage.py`` simulates test splits whose truth is known and prints, for each size, the share of
intervals that hold it and the share whose lower end lies above it: that is how often a floor is passed unduly.
Results: docs/gate.md. About 5 minutes. Larger splits and the paper's interval: benchmarks/statistics_check.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from panderm.evaluation.bootstrap import Interval, auroc_statistic, cluster_bootstrap, weighted_f1_statistic

SIMULATIONS, REPLICATES = 1000, 400  # the standard error of a coverage of 95 % is 0.7 points


def rates(intervals: Iterator[Interval], truth: float) -> str:
    """Return coverage, how often the lower end is above ``truth``, and how often there is no interval."""
    ends = np.array([(interval.low, interval.high) for interval in intervals])
    given = ends[~np.isnan(ends[:, 0])]
    covered, above = np.mean((given[:, 0] <= truth) & (truth <= given[:, 1])), np.mean(given[:, 0] > truth)
    return f"holds the truth {covered:.3f}, lower end above it {above:.3f}, none {1 - len(given) / len(ends):.3f}"


def of_auroc(positives: int, negatives: int, truth: float) -> Iterator[Interval]:
    """Yield intervals of an AUROC of normal scores; every image its own patient."""
    rng = np.random.default_rng(1)
    target = np.repeat([1, 0], [positives, negatives])
    for seed in range(SIMULATIONS):
        score = rng.normal(0, 1, len(target)) + np.sqrt(2) * norm.ppf(truth) * target
        yield cluster_bootstrap(auroc_statistic(target, score), np.arange(len(target)), replicates=REPLICATES, seed=seed)


def of_accuracy(patients: int, truth: float) -> Iterator[Interval]:
    """Yield intervals of a weighted F1 of two equal classes and equal errors, 3 images a patient, half shared luck."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(patients), 3)
    for seed in range(SIMULATIONS):
        luck = rng.normal(0, 1, patients)[groups] + rng.normal(0, 1, len(groups))
        right = luck / np.sqrt(2) < norm.ppf(truth)
        target = rng.integers(0, 2, len(groups))
        statistic = weighted_f1_statistic(target, np.where(right, target, 1 - target), 2)
        yield cluster_bootstrap(statistic, groups, replicates=REPLICATES, seed=seed)


if __name__ == "__main__":
    for positives, negatives in ((5, 30), (10, 50), (20, 100), (50, 250)):
        for truth in (0.70, 0.85):
            print(f"AUROC {truth}, {positives}+{negatives}: {rates(of_auroc(positives, negatives, truth), truth)}", flush=True)
    for patients in (8, 15, 30, 60, 150):
        print(f"weighted F1 0.8, {patients} patients: {rates(of_accuracy(patients, 0.8), 0.8)}", flush=True)
