"""Two models on the same test images: the difference with its interval, permutation and t-tests, Holm over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import building_folder, sha256_file, write_json, write_text
from panderm.core.record import Record
from panderm.core.tables import write_table
from panderm.evaluation.bootstrap import paired_bootstrap
from panderm.evaluation.evidence import PREDICTIONS_NAME, answers_alike, read_predictions
from panderm.evaluation.figures import Resampling
from panderm.evaluation.kfold import figures_by_fold
from panderm.evaluation.multiple import holm
from panderm.evaluation.permutation import PERMUTATIONS, paired_t, permutation_test, pseudo_value_t
from panderm.tasks.kinds import kind_of

TESTS = ("p_permutation", "p_t", "p_folds")
"""Columns of p-values; each is adjusted by itself, in ``<name>_holm``."""

COMPARISONS = pa.schema(
    [
        ("task", pa.string()),
        ("against", pa.string()),  # name of the other evaluation
        ("metric", pa.string()),
        ("n", pa.int64()),  # cases
        ("groups", pa.int64()),  # patients, else lesions, else images
        ("value", pa.float64()),  # of the model at hand
        ("against_value", pa.float64()),
        ("difference", pa.float64()),  # value - against_value
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_permutation", pa.float64()),
        ("p_permutation_holm", pa.float64()),  # over all rows of the table
        ("p_t", pa.float64()),
        ("p_t_holm", pa.float64()),
        (
            "folds",
            pa.int64(),
        ),  # that both have a figure of; 0 for tasks with a test split, and where the folds are not the same
        ("p_folds", pa.float64()),  # paired t-test over the folds
        ("p_folds_holm", pa.float64()),
        ("predictions_sha256", pa.string()),
        ("against_sha256", pa.string()),
    ]
)
"""``comparison.parquet``: one row a task and other model; null where a figure is undefined."""


class Pair(NamedTuple):
    """Two evaluations of one task.

    Attributes:
        task: the benchmark.
        against: name of the other one, for the table.
        ours: predictions table of the model at hand.
        theirs: the other's, of the same cases.
    """

    task: Benchmark
    against: str
    ours: Path
    theirs: Path


def find_predictions(folder: Path, task: Benchmark) -> Path:
    """Return the predictions of ``task`` in an evaluation folder, a folder of tasks, or a workspace.

    Raises:
        InputError: there are none.
    """
    places = [folder, folder / task.key / "evaluation", folder / "artifacts" / "tasks" / task.key / "evaluation"]
    for place in places:
        if (place / PREDICTIONS_NAME).is_file():
            return place / PREDICTIONS_NAME
    raise InputError(
        f"{folder} has no {PREDICTIONS_NAME} of {task.key}; name an evaluation folder, a folder TASK/evaluation is in, "
        f"or a workspace, after `panderm evaluate {task.key}` there"
    )


def compare_models(pair: Pair, how: Resampling, permutations: int = PERMUTATIONS) -> dict[str, Any]:
    """Return one row of :data:`COMPARISONS`, without Holm's columns.

    Args:
        pair: what is compared.
        how: replicates, level, seed, unit and method; the unit holds for the tests as well.
        permutations: of the permutation test.

    Raises:
        InputError: a table is missing or damaged, or the two are not of the same cases and labels.
    """
    task, kind = pair.task, kind_of(pair.task)
    ours, theirs = read_predictions(pair.ours, task), read_predictions(pair.theirs, task)
    _check_same_cases(pair, ours, theirs)
    groups = ours["group"].to_numpy() if how.unit == "clustered" else np.arange(len(ours))
    one, two = kind.primary(task, ours), kind.primary(task, theirs)
    both = kind.primary(task, pd.concat([ours, theirs], ignore_index=True))
    difference = paired_bootstrap(
        one,
        two,
        groups,
        replicates=how.replicates,
        seed=how.seed,
        level=how.level,
        method=how.method,
        alike=answers_alike(task, ours, theirs),
    )
    everyone = np.ones(len(ours))
    return {
        "task": task.key,
        "against": pair.against,
        "metric": task.metric,
        "n": len(ours),
        "groups": len(np.unique(groups)),
        "value": one(everyone),
        "against_value": two(everyone),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p_permutation": permutation_test(both, groups, permutations=permutations, seed=how.seed).p,
        "p_t": pseudo_value_t(both, groups, seed=how.seed).p,
        **_over_folds(task, ours, theirs),
        "predictions_sha256": sha256_file(pair.ours),
        "against_sha256": sha256_file(pair.theirs),
    }


def _over_folds(task: Benchmark, ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Any]:
    """Return the paired two-sided t-test over folds, as the paper has it for tasks that are judged fold by fold.

    Folds are a pair only if they hold the same cases: a fold's cases make it hard for both models. Folds share training
    images, so the test is not exact (docs/statistics.md).
    """
    if "fold" not in ours or "fold" not in theirs or not (ours["fold"] == theirs["fold"]).all():
        return {"folds": 0, "p_folds": math.nan}
    figures = (figures_by_fold(frame, lambda part: kind_of(task).primary(task, part)) for frame in (ours, theirs))
    mine, others = (list(by_fold.values()) for by_fold in figures)
    test = paired_t(mine, others)
    return {"folds": test.n, "p_folds": test.p}


def _check_same_cases(pair: Pair, ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    said = f"{pair.task.key} against {pair.against}"
    if list(ours["image_id"]) != list(theirs["image_id"]):
        odd = sorted(set(ours["image_id"]) ^ set(theirs["image_id"]))
        raise InputError(
            f"{said}: {len(odd)} cases are in one table only, the first is {odd[0]}; evaluate both on the same test split"
        )
    if "target" in ours and (differ := (ours["target"] != theirs["target"]).to_numpy()).any():
        first = ours["image_id"].iloc[int(differ.argmax())]
        raise InputError(f"{said}: {first} has two labels; evaluate both on the same test split")


def with_holm(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table with Holm-adjusted p-values over all of them, by kind of test."""
    frame = pd.DataFrame(list(rows), columns=COMPARISONS.names)
    for name in TESTS:
        frame[f"{name}_holm"] = holm(frame[name])
    return frame


def write_comparison(frame: pd.DataFrame, how: Resampling, permutations: int, out: Path) -> Record:
    """Write ``comparison.parquet``, ``.json``, ``.md`` and ``record.json`` as folder ``out``, replaced whole."""
    settings = {**how._asdict(), "permutations": permutations}
    settings.pop("min_groups")
    rows = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
    with building_folder(out) as folder:
        write_table(folder / "comparison.parquet", frame, COMPARISONS)
        write_json(folder / "comparison.json", {"comparisons": rows, "settings": settings})
        write_text(folder / "comparison.md", as_markdown(frame, how, permutations))
        record = Record(
            stage="compare",
            counts={"comparisons": len(frame), "tasks": int(frame["task"].nunique())},
            hashes={"table": sha256_file(folder / "comparison.parquet")},
            config=settings,
        )
        record.save(folder)
    return record


def as_markdown(frame: pd.DataFrame, how: Resampling, permutations: int) -> str:
    """Return the table as Markdown with one sentence on how it was made."""
    lines = [
        "| task | against | metric | cases (groups) | model | the other | difference | permutation p (Holm) | t p (Holm) "
        "| t over folds p (Holm) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['task']} | {row['against']} | {row['metric']} | {row['n']} ({row['groups']}) | {_text(row['value'])} "
        f"| {_text(row['against_value'])} | {_text(row['difference'], '+')} ({_text(row['low'], '+')} to "
        f"{_text(row['high'], '+')}) | {_tests(row)} |"
        for row in frame.to_dict("records")
    ]
    what = "patients (else lesions, else images)" if how.unit == "clustered" else "single images"
    lines += [
        "",
        f"Differences with {how.level:.0%} intervals ({how.method}, {how.replicates} replicates that draw {what}); two-sided "
        f"permutation test ({permutations} exchanges of {what}), paired t-test over their pseudo-values and, of tasks that are "
        f"judged out of fold, over the folds. Holm's adjustment is over the {len(frame)} rows, for each test.",
    ]
    return "\n".join(lines) + "\n"


def _text(value: float, sign: str = "") -> str:
    return "undefined" if math.isnan(value) else f"{value:{sign}.3f}"


def _tests(row: dict[Any, Any]) -> str:
    cells = [f"{_p(row[name])} ({_p(row[f'{name}_holm'])})" for name in TESTS if name != "p_folds" or row["folds"]]
    return " | ".join([*cells, *["no folds"] * (len(TESTS) - len(cells))])


def _p(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
