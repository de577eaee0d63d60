"""Does it hold elsewhere? A melanoma probe fitted on one task's training split, judged on every other task that has melanomas.

Tasks name melanoma differently, some have several classes of it, some tell further ones apart; here each label is melanoma or
not, by what the catalogue says of the task. Elsewhere all images
are test images, less those whose bytes, patient or lesion the training or validation split holds: public sets overlap.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.catalog import Benchmark, runnable_benchmarks
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, one_of
from panderm.evaluation.bootstrap import auroc_statistic
from panderm.evaluation.figures import interval_of
from panderm.studies.lines import forest_chart
from panderm.studies.points import Given, Point, Told
from panderm.tasks.linear_probe import Probe, fit
from panderm.tasks.rows import SPLIT_NAME, Rows, read_rows
from panderm.training.features import features

STUDY = "external"
KINDS = ("diagnosis",)
NEEDS_MELANOMA = True
ELSEWHERE = ("ham10000", "bcn20000", "mskcc", "hiba", "derm7pt_d", "ph2", "med_node", "ddi", "derm7pt_c", "pad_ufes")
"""Tasks with a melanoma class (``melanoma`` in the catalogue): six dermoscopic (ph2 by origin), then four clinical."""


class Config(FrozenConfig):
    """Where it is judged.

    Attributes:
        elsewhere: tasks to judge on besides the one that is fitted; those without data are left out.
    """

    elsewhere: tuple[str, ...] = ELSEWHERE


def run(config: Config, given: Given) -> Told:
    """Fit melanoma against the rest on the task, and judge here and elsewhere by AUROC.

    Raises:
        InputError: the task has no melanoma class or no split, a task elsewhere is unknown, or none of them has data.
    """
    task = given.task
    if not task.melanoma:
        allowed = ", ".join(row.key for row in runnable_benchmarks() if row.melanoma)
        raise InputError(f"{task.key} has no melanoma class to take elsewhere; allowed: {allowed}")
    others = _others(config, given)
    rows = read_rows(task, given.layout.split(task.key))
    probe = _probe(given, rows.frame)
    here = rows.part("test")
    points = [_point(given, probe, "here", f"{task.key} (test split)", here, task)]
    hashes = {f"split {task.key}": rows.sha256}
    for other, found in others:
        strangers = unseen(found.frame, rows.frame)
        points.append(_point(given, probe, other.modality.strip('"').split()[0], other.key, strangers, other))
        hashes[f"split {other.key}"] = found.sha256
        left = len(found.frame) - len(strangers)
        if left:
            points[-1] = points[-1]._replace(note=f"{left} images of patients or lesions that were fitted on left out")
    return Told(
        title=f"External validation of {given.named}",
        text=f"Melanoma against the rest: a linear probe fitted on the training split of {task.key} and judged on images of "
        "other tasks, none of which it was fitted on. AUROC with 95 % intervals over patients.",
        points=points,
        draw=forest_chart(f"Fitted on {given.named}, judged elsewhere: melanoma or not"),
        hashes=hashes,
    )


def _others(config: Config, given: Given) -> list[tuple[Benchmark, Rows]]:
    rows = {row.key: row for row in runnable_benchmarks() if row.melanoma}
    found: list[tuple[Benchmark, Rows]] = []
    for key in config.elsewhere:
        if key not in rows:
            raise InputError(one_of(key, rows, "task in elsewhere", "these have a melanoma class"))
        folder = given.layout.split(key)
        if key != given.task.key and (folder / SPLIT_NAME).is_file():
            found.append((rows[key], read_rows(rows[key], folder)))
    if not found:
        raise InputError(f"no other task with melanomas has data; deliver one of {', '.join(config.elsewhere)} and curate")
    return found


def unseen(elsewhere: pd.DataFrame, fitted: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose bytes, patient, lesion and group no training or validation row has."""
    known = fitted[fitted["split"] != "test"]
    seen = np.zeros(len(elsewhere), dtype=bool)
    for column in ("stored_sha256", "patient_id", "lesion_id", "group"):
        seen |= elsewhere[column].isin(known[column].dropna()).to_numpy()
    return elsewhere[~seen]


def _probe(given: Given, frame: pd.DataFrame) -> Probe:
    table, target = _features(given, frame), melanomas(given.task, frame)
    train, val = ((frame["split"] == name).to_numpy() for name in ("train", "val"))
    if len(np.unique(target[train])) < 2:
        raise InputError(
            f"the training split of {given.task.key} has no melanoma, or nothing else; deliver more labelled images"
        )
    return fit(given.finetune.linear_probe, table[train], target[train], 2, (table[val], target[val]))


def melanomas(task: Benchmark, frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return 1 for each row of a task's split whose label is one of its melanoma classes, else 0, (N,)."""
    return frame["label"].isin(task.melanoma).to_numpy().astype(np.int64)


def _features(given: Given, frame: pd.DataFrame) -> NDArray[np.float32]:
    layout = given.layout
    return features(layout.pretrained, frame, layout.data, layout.features, what=f"features {STUDY}")


def _point(given: Given, probe: Probe, arm: str, name: str, rows: pd.DataFrame, task: Benchmark) -> Point:
    counts = (len(rows), int(rows["group"].nunique()))
    target = melanomas(task, rows)
    if len(np.unique(target)) < 2:
        nan = float("nan")
        return Point(arm, name, nan, "auroc", nan, nan, nan, *counts, "no melanoma, or nothing else")
    scores = probe.logits(_features(given, rows))
    interval = interval_of(auroc_statistic(target, scores[:, 1] - scores[:, 0]), rows, given.how)
    return Point(arm, name, float("nan"), "auroc", *interval[:3], *counts)
