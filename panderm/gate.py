"""Gate: report and predictions -> a verdict, bound by hash to the model, the test split and the preprocessing.

The verdict is the product: the stage succeeds whatever it says. docs/gate.md says how it is reached, with an example.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from panderm.catalog import Benchmark
from panderm.core.config import FrozenConfig
from panderm.core.files import building_folder, sha256_file
from panderm.core.record import Record
from panderm.evaluation.bootstrap import LEVEL, REPLICATES
from panderm.evaluation.criteria import Thresholds, judge_champion, judge_floor, judge_subgroups, judge_test_size
from panderm.evaluation.evidence import Evidence, gather_evidence
from panderm.evaluation.subgroups import SUBGROUPS
from panderm.evaluation.verdict import VERDICT_NAME, Criterion, Outcome, Verdict, overall


class TaskThresholds(FrozenConfig):
    """Thresholds of one task where they differ from the general ones; what is left out stays general."""

    floor: float | None = Field(default=None, ge=0.0, le=1.0)
    min_groups: int | None = Field(default=None, ge=2)
    min_class_groups: int | None = Field(default=None, ge=1)
    margin: float | None = Field(default=None, ge=0.0, le=1.0)
    max_gap: float | None = Field(default=None, ge=0.0, le=1.0)


class Config(FrozenConfig):
    """What a model is held against. The defaults let a small demonstration speak; docs/gate.md says what a clinic needs.

    Attributes:
        auroc_floor: an AUROC from 0.7 up is called acceptable (Hosmer and Lemeshow, Applied Logistic Regression, 5.2.4).
        weighted_f1_floor: least weighted F1 whatever the classes; our choice, see the next.
        jaccard_floor: the ISIC segmentation challenges count a mask as failed below a Jaccard index of 0.65 (Codella et al.,
            Skin Lesion Analysis Toward Melanoma Detection 2018).
        sensitivity_floor: share of the malignant lesions that a screening has to find; our choice, below the paper's 0.893.
        above_blind: how far a weighted F1 has to be above the best that can be had without looking at the image, which
            depends on the class frequencies of the test split (0.54 for two thirds of one class); our choice.
        min_groups: patients (or lesions, or images) that a test split needs. Measured by ``benchmarks/coverage.py``:
            with 15 patients a 95 % interval holds the truth in 98 %, with 8 in 99 %: wider than need be, never too narrow.
        auroc_class_groups: those with an image of each class, for an AUROC. The interval holds with 5 positives as well (same
            measurement); 10 are asked so that no verdict rests on a handful of lesions, our choice.
        f1_class_groups: those of each class, for a weighted F1: a class that was never tested is not released.
        margin: how much worse than the champion is tolerated; 0.05 is the usual margin for differences of AUROC in
            studies of computer aids.
        max_gap: largest difference between subgroups, beyond noise; our choice.
        subgroup_min_groups: patients (or lesions, or images) that a subgroup needs to be compared; as ``min_groups``.
        subgroups: columns compared (paper: site, age group, sex, skin tone).
        replicates: bootstrap replicates (paper: 1,000).
        level: coverage of the intervals (paper: 95 %).
        seed: seed of the replicates.
        tasks: thresholds of single tasks by key.
    """

    auroc_floor: float = Field(default=0.70, ge=0.0, le=1.0)
    weighted_f1_floor: float = Field(default=0.30, ge=0.0, le=1.0)
    jaccard_floor: float = Field(default=0.65, ge=0.0, le=1.0)
    sensitivity_floor: float = Field(default=0.80, ge=0.0, le=1.0)
    above_blind: float = Field(default=0.05, ge=0.0, le=1.0)
    min_groups: int = Field(default=15, ge=2)
    auroc_class_groups: int = Field(default=10, ge=1)
    f1_class_groups: int = Field(default=1, ge=1)
    margin: float = Field(default=0.05, ge=0.0, le=1.0)
    max_gap: float = Field(default=0.15, ge=0.0, le=1.0)
    subgroup_min_groups: int = Field(default=15, ge=2)
    subgroups: tuple[str, ...] = SUBGROUPS
    replicates: int = Field(default=REPLICATES, ge=100)
    level: float = Field(default=LEVEL, gt=0.5, lt=1.0)
    seed: int = 0
    tasks: dict[str, TaskThresholds] = Field(default_factory=dict)

    def thresholds(self, task: Benchmark) -> Thresholds:
        """Return what ``task`` is held against."""
        by_class = task.metric == "weighted_f1"
        floors = {name: getattr(self, f"{name}_floor") for name in ("auroc", "weighted_f1", "jaccard", "sensitivity")}
        own = self.tasks.get(task.key, TaskThresholds()).model_dump(exclude_none=True)
        general = {
            "floor": floors[task.metric],
            "min_class_groups": self.f1_class_groups if by_class else self.auroc_class_groups,
        }
        general |= {name: getattr(self, name) for name in Thresholds._fields if name not in general}
        return Thresholds(**(general | own))


def run(config: Config, task: Benchmark, evaluation: Path, model: Path, out: Path) -> Record:
    """Judge a task model and write ``verdict.json``.

    Args:
        config: thresholds.
        task: the benchmark.
        evaluation: folder with ``report.json``, ``predictions.parquet`` and, if something serves,
            ``champion_predictions.parquet``.
        model: folder of the task model.
        out: the verdict's folder.

    Raises:
        InputError: a file is missing or is not what its stage writes.
        Refused: the files do not belong together, so there is nothing to judge; the former verdict stays, bound to
            whatever it was given for.
    """
    evidence = gather_evidence(task, evaluation, model)
    criteria = _judge(evidence, config, config.thresholds(task))
    outcome = overall(criteria)
    deciding = tuple(c.reason for c in criteria if c.outcome is outcome)
    verdict = Verdict(
        task=task.key, outcome=outcome, criteria=criteria, reasons=deciding, champion=evidence.champion, **evidence.hashes
    )
    with building_folder(out) as folder:
        verdict.save(folder)
        counts = {str(kind): sum(c.outcome is kind for c in criteria) for kind in Outcome}
        record = Record(
            stage="gate",
            key=task.key,
            counts={"criteria": len(criteria), **counts},
            hashes={"verdict": sha256_file(folder / VERDICT_NAME), **evidence.hashes},
            values={"outcome": str(outcome), "reasons": list(deciding)},
            config=config.model_dump(mode="json"),
        )
        record.save(folder)
    return record


def _judge(evidence: Evidence, config: Config, limits: Thresholds) -> tuple[Criterion, ...]:
    by_subgroup = [judge_subgroups(evidence, limits, column) for column in config.subgroups]
    return (
        judge_test_size(evidence, limits),
        judge_floor(evidence, limits),
        judge_champion(evidence, limits),
        *(criterion for criterion in by_subgroup if criterion is not None),
    )
