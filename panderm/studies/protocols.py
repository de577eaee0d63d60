"""Is fine-tuning worth it? The same task, split and encoder by linear probe and by fine-tuning, on the same test images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Benchmark
from panderm.catalog.table import Protocol
from panderm.core.config import FrozenConfig
from panderm.evaluation.bootstrap import paired_bootstrap
from panderm.evaluation.figures import interval_of
from panderm.evaluation.permutation import permutation_test
from panderm.models.encoder import load_card
from panderm.studies.lines import forest_chart
from panderm.studies.points import Given, Point, Told
from panderm.tasks import diagnosis, kinds
from panderm.tasks.cards import write_card
from panderm.tasks.rows import read_rows

STUDY = "protocols"
KINDS = ("diagnosis",)
ARMS: tuple[Protocol, ...] = ("linear_probe", "fine_tuning")


class Config(FrozenConfig):
    """Nothing to set: both arms take finetune's settings of the task."""


def run(config: Config, given: Given) -> Told:  # noqa: ARG001 - every study has one
    """Fit both, judge both on the test split, and test the difference.

    Raises:
        InputError: the task has no split, or it cannot be fitted or judged.
        TrainingFailed: the fine-tuning ended before its last epoch; the same command goes on.
    """
    task, layout = given.task, given.layout
    rows = read_rows(task, layout.split(task.key))
    answers: dict[str, pd.DataFrame] = {}
    for arm in ARMS:
        given.say(arm.replace("_", " "))
        work = layout.work / "studies" / STUDY / task.key / arm
        compute = kinds.Compute.parse(given.finetune.model_dump(include=set(kinds.Compute.model_fields)), where=STUDY)
        folders = (layout.split(task.key), layout.data, layout.pretrained, layout.features, work)
        answers[arm] = _answers(kinds.Given(task, rows, *folders, compute, given.say), given, arm, work / "model")
    points = [_point(given, task, arm, answers[arm]) for arm in ARMS]
    return Told(
        title=f"Linear probe and fine-tuning, {given.named}",
        text=f"Same split, encoder and test images; settings are finetune's. {_difference(given, answers)}",
        points=points,
        draw=forest_chart(f"Linear probe and fine-tuning, {given.named}"),
        hashes={"split": rows.sha256, "encoder": load_card(layout.pretrained).sha256},
    )


def _answers(inside: kinds.Given, given: Given, arm: Protocol, model: Path) -> pd.DataFrame:
    settings = given.finetune
    recipe = diagnosis.Recipe(arm, settings.linear_probe, settings.fine_tuning)
    model.mkdir(parents=True, exist_ok=True)
    fitted = diagnosis.fit(recipe, inside, model)
    write_card(inside.task, inside.rows, load_card(inside.encoder), fitted, model)
    return diagnosis.predict(inside, model)


def _point(given: Given, task: Benchmark, arm: str, answers: pd.DataFrame) -> Point:
    interval = interval_of(diagnosis.primary(task, answers), answers, given.how)
    counts = (len(answers), int(answers["group"].nunique()))
    return Point(arm.replace("_", " "), arm.replace("_", " "), float("nan"), task.metric, *interval[:3], *counts)


def _difference(given: Given, answers: dict[str, pd.DataFrame]) -> str:
    probe, tuned = (answers[arm] for arm in ARMS)
    groups, how = probe["group"].to_numpy(), given.how
    one, two = (diagnosis.primary(given.task, frame) for frame in (tuned, probe))
    gap = paired_bootstrap(one, two, groups, replicates=how.replicates, seed=how.seed)
    both = diagnosis.primary(given.task, pd.concat([tuned, probe], ignore_index=True))
    p = permutation_test(both, groups, seed=how.seed).p
    return (
        f"Fine-tuning minus linear probe: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}, paired), "
        f"permutation test p = {p:.3f}."
    )
