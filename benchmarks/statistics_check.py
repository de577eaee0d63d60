"""Are the statistics right? Coverage of 95 % intervals and uniformity of p-values, on simulated patients whose truth is known.

``python benchmarks/statistics_check.py`` writes the tables of docs/statistics.md to stdout; about 30 minutes on one core.
A patient has 1 to 5 images, and half of the variance of what makes an image hard is the patient's. Of a rare class (``--rare``
writes that table alone, in 5 minutes) each image is another patient's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest, norm

from panderm.core.progress import progress
from panderm.evaluation.bootstrap import Statistic, Unit, auroc_statistic, cluster_bootstrap, weighted_f1_statistic
from panderm.evaluation.intervals import DIFFERENCE, SHARE, percentile_ends
from panderm.evaluation.metrics import mean_statistic, sensitivity_at
from panderm.evaluation.permutation import permutation_test
from panderm.evaluation.stakes import Staked, difference

SIZES, SMALL = (50, 100, 250, 1000, 5000), (50, 100, 250)
SIMULATIONS, REPLICATES = 2000, 400  # the standard error of a coverage of 95 % is 0.5 points
PRIORS = np.array([0.6, 0.25, 0.1, 0.05])
RARE, SPLIT = (10, 20, 30), 1000  # images of the rare class, of all


class Case(NamedTuple):
    """One simulated test split: its figure, what belongs together, and the truth."""

    statistic: Statistic
    groups: NDArray[np.intp]
    truth: float
    bounds: tuple[float, float] = SHARE


def patients(rng: np.random.Generator, images: int) -> NDArray[np.intp]:
    """Return the patient of each image."""
    sizes = rng.integers(1, 6, images)
    return np.repeat(np.arange(images), sizes)[:images]


def luck(rng: np.random.Generator, groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return one standard normal an image, correlated 0.5 within a patient."""
    shared = rng.normal(size=groups.max() + 1)[groups]
    return np.asarray((shared + rng.normal(size=len(groups))) / np.sqrt(2))


def of_auroc(truth: float, share: float) -> Callable[[np.random.Generator, int], Case]:
    """Simulate an AUROC of normal scores, a share of the images positive."""

    def draw(rng: np.random.Generator, images: int) -> Case:
        groups = patients(rng, images)
        target = rng.random(images) < share
        score = luck(rng, groups) + np.sqrt(2) * norm.ppf(truth) * target
        return Case(auroc_statistic(target, score), groups, truth)

    return draw


def of_accuracy(truth: float) -> Callable[[np.random.Generator, int], Case]:
    """Simulate an accuracy."""

    def draw(rng: np.random.Generator, images: int) -> Case:
        groups = patients(rng, images)
        right = luck(rng, groups) < norm.ppf(truth)
        return Case(mean_statistic(right), groups, truth)

    return draw


def of_weighted_f1(accuracy: float) -> Callable[[np.random.Generator, int], Case]:
    """Simulate a weighted F1 of four classes, 60 to 5 % of the images; a wrong answer is any other class."""
    classes = len(PRIORS)
    cells = np.outer(PRIORS, np.full(classes, (1 - accuracy) / (classes - 1)))
    np.fill_diagonal(cells, PRIORS * accuracy)
    target, predicted = np.divmod(np.arange(classes**2), classes)
    truth = weighted_f1_statistic(target, predicted, classes)(cells.reshape(-1))

    def draw(rng: np.random.Generator, images: int) -> Case:
        groups = patients(rng, images)
        true = rng.choice(classes, images, p=PRIORS)
        wrong = (true + rng.integers(1, classes, images)) % classes
        said = np.where(luck(rng, groups) < norm.ppf(accuracy), true, wrong)
        return Case(weighted_f1_statistic(true, said, classes), groups, truth)

    return draw


def of_difference(rng: np.random.Generator, images: int) -> Case:
    """Simulate the difference of two models' AUROCs, 0.85 and 0.80, on the same images."""
    groups = patients(rng, images)
    target, hard = rng.random(images) < 0.3, luck(rng, groups)
    one, two = (
        auroc_statistic(target, (hard + luck(rng, groups)) / np.sqrt(2) + np.sqrt(2) * norm.ppf(truth) * target)
        for truth in (0.85, 0.80)
    )
    return Case(difference(one, two), groups, 0.05, DIFFERENCE)


def of_rare_sensitivity(truth: float) -> Callable[[np.random.Generator, int], Case]:
    """Simulate a sensitivity to a class of so many images in a split of 1,000 patients: often all of them are found."""

    def draw(rng: np.random.Generator, images: int) -> Case:
        target = np.arange(SPLIT) < images
        return Case(sensitivity_at(target, rng.random(SPLIT) < truth, 0.5), np.arange(SPLIT), truth)

    return draw


def of_rare_auroc(truth: float, spread: float = 1.0) -> Callable[[np.random.Generator, int], Case]:
    """Simulate an AUROC of normal scores with so many positives among 1,000 patients, so much wider spread than the others."""

    def draw(rng: np.random.Generator, images: int) -> Case:
        target = np.arange(SPLIT) < images
        score = rng.normal(size=SPLIT) * np.where(target, spread, 1) + np.hypot(1, spread) * norm.ppf(truth) * target
        return Case(auroc_statistic(target, score), np.arange(SPLIT), truth)

    return draw


def of_rare_exponential(truth: float) -> Callable[[np.random.Generator, int], Case]:
    """Simulate the same of exponential scores, whose positives have a long tail among the others."""

    def draw(rng: np.random.Generator, images: int) -> Case:
        target = np.arange(SPLIT) < images
        score = rng.exponential(size=SPLIT) * np.where(target, truth / (1 - truth), 1)
        return Case(auroc_statistic(target, score), np.arange(SPLIT), truth)

    return draw


DRAWN: dict[str, Callable[[np.random.Generator, int], Case]] = {
    "accuracy 0.80": of_accuracy(0.80),
    "weighted F1, accuracy 0.80": of_weighted_f1(0.80),
    "AUROC 0.85, 30 % positive": of_auroc(0.85, 0.3),
    "AUROC 0.70, 30 % positive": of_auroc(0.70, 0.3),
    "AUROC 0.85 - 0.80, paired": of_difference,
}
HARD: dict[str, Callable[[np.random.Generator, int], Case]] = {
    "AUROC 0.85, 10 % positive": of_auroc(0.85, 0.1),
    "AUROC 0.95, 30 % positive": of_auroc(0.95, 0.3),
    "accuracy 0.93": of_accuracy(0.93),
}
RARELY: dict[str, Callable[[np.random.Generator, int], Case]] = {
    "sensitivity 0.90": of_rare_sensitivity(0.90),
    "sensitivity 0.95": of_rare_sensitivity(0.95),
    "sensitivity 0.99": of_rare_sensitivity(0.99),
    "AUROC 0.95": of_rare_auroc(0.95),
    "AUROC 0.99": of_rare_auroc(0.99),
    "AUROC 0.95, positives spread 1.5 times as wide": of_rare_auroc(0.95, 1.5),
    "AUROC 0.95, exponential scores": of_rare_exponential(0.95),
}


class Coverage(NamedTuple):
    """Shares of the simulations: interval holds the truth; its lower end lies above it; there is none. Median width."""

    holds: float
    above: float
    none: float
    width: float


def coverage(
    draw: Callable[[np.random.Generator, int], Case], images: int, simulations: int = SIMULATIONS, seed: int = 1
) -> dict[str, Coverage]:
    """Return the coverage of both methods, from the same replicates."""
    rng, ends = np.random.default_rng(seed), {"studentised": np.zeros((0, 3)), "percentile": np.zeros((0, 3))}
    for number in range(simulations):
        case = draw(rng, images)
        seen: list[float] = []

        def noting(weight: NDArray[np.float64], figure: Statistic = case.statistic, seen: list[float] = seen) -> float:
            seen.append(figure(weight))
            return seen[-1]

        assert isinstance(case.statistic, Staked)
        staked = replace(case.statistic, figure=noting)
        found = cluster_bootstrap(staked, case.groups, replicates=REPLICATES, seed=number, bounds=case.bounds)
        drawn = np.array(seen[1:])
        drawn = drawn[~np.isnan(drawn)][:REPLICATES]
        plain = percentile_ends(drawn, 0.95) if len(drawn) == REPLICATES else (np.nan, np.nan)
        for name, pair in (("studentised", (found.low, found.high)), ("percentile", plain)):
            ends[name] = np.vstack([ends[name], [*pair, case.truth]])
    return {name: _of(rows[:, 0], rows[:, 1], rows[:, 2]) for name, rows in ends.items()}


def _of(low: NDArray[np.float64], high: NDArray[np.float64], truth: NDArray[np.float64]) -> Coverage:
    given = ~np.isnan(low)
    low, high, truth = low[given], high[given], truth[given]
    holds = (low <= truth) & (truth <= high)
    return Coverage(float(holds.mean()), float((low > truth).mean()), float(1 - given.mean()), float(np.median(high - low)))


def null_p_values(unit: Unit, simulations: int = SIMULATIONS, permutations: int = 199, seed: int = 1) -> NDArray[np.float64]:
    """Return permutation p-values of two equally good models on 120 images, made continuous by a uniform draw.

    Each model has its own luck with each patient, which is what makes exchanging single images wrong.
    """
    rng, values = np.random.default_rng(seed), []
    for number in range(simulations):
        groups = patients(rng, 120)
        target, hard = rng.random(120) < 0.3, luck(rng, groups)
        scores = [hard + luck(rng, groups) + 2 * target for _ in range(2)]
        both = auroc_statistic(np.tile(target, 2), np.concatenate(scores))
        found = permutation_test(both, groups, permutations=permutations, seed=number, unit=unit)
        values.append(found.p - rng.random() / (permutations + 1))
    return np.array(values)


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--rare", action="store_true", help="the table of rare classes alone")
    wanted = parser.parse_args()
    methods = "studentised: holds, lower end above, width | percentile (paper): the same"
    if not wanted.rare:
        print(f"| figure | images | patients | {methods} |\n|---|---|---|---|---|")
        jobs = [(name, draw, images) for name, draw in DRAWN.items() for images in SIZES]
        jobs += [(name, draw, images) for name, draw in HARD.items() for images in SMALL]
        for number, (name, draw, images) in enumerate(progress(jobs, what="coverage")):
            cells = _cells(coverage(draw, images, wanted.simulations, seed=number))
            print(f"| {name} | {images} | {round(images / 3)} | {cells} |", flush=True)
        _print_p_values(wanted.simulations)
    print(f"\n| figure | of the class, among {SPLIT:,} | {methods} |\n|---|---|---|---|")
    jobs = [(name, draw, images) for name, draw in RARELY.items() for images in RARE]
    for number, (name, draw, images) in enumerate(progress(jobs, what="rare")):
        print(f"| {name} | {images} | {_cells(coverage(draw, images, wanted.simulations, seed=number))} |", flush=True)


def _cells(found: dict[str, Coverage]) -> str:
    return " | ".join(
        f"{part.holds:.1%}, {part.above:.1%}, {part.width:.3f}" + (f" (none: {part.none:.1%})" if part.none else "")
        for part in found.values()
    )


def _print_p_values(simulations: int) -> None:
    print("\n| exchanged | KS distance | p of uniformity | p < 0.05 seen |\n|---|---|---|---|")
    units: tuple[Unit, ...] = ("clustered", "plain")
    for unit in units:
        values = null_p_values(unit, simulations)
        test = kstest(values, "uniform")
        print(f"| {unit} | {test.statistic:.3f} | {test.pvalue:.2g} | {np.mean(values < 0.05):.1%} |", flush=True)


if __name__ == "__main__":
    main()
