"""A small ``report.json`` of each kind, told by the kind itself from a drawn predictions table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from panderm.catalog import Benchmark, benchmark
from panderm.evaluation.bootstrap import cluster_bootstrap
from panderm.evaluation.figures import Resampling, all_figures
from panderm.tasks import recurrence
from panderm.tasks.kinds import kind_of

N = 60


def classified(task: Benchmark, rng: np.random.Generator, seen: str = "image") -> pd.DataFrame:
    """A classifier's table of 60 cases in 30 patients; most are called right."""
    target = np.arange(N) % len(task.classes)
    scores = rng.random((N, len(task.classes))) + 0.6 * np.eye(len(task.classes))[target]
    scores /= scores.sum(axis=1, keepdims=True)
    facts = {"image_id": [f"{seen}{n:02d}" for n in range(N)], "group": [f"p{n // 2:02d}" for n in range(N)], "target": target}
    facts |= {"label": [task.classes[index] for index in target], "predicted": scores.argmax(axis=1)}
    facts |= {f"p_{index}": scores[:, index].astype(np.float32) for index in range(len(task.classes))}
    facts |= {"age": 50.0, "sex": ["female", "male"] * (N // 2), "site": None, "skin_type": None}
    return pd.DataFrame(facts | {"fold": np.arange(N) // 4 % max(1, task.folds)})


def segmentation(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    seeds = {name: rng.uniform(low, 0.95, (N, 5)).astype(np.float32) for name, low in (("dice", 0.8), ("jaccard", 0.7))}
    frame = classified(task, rng)[["image_id", "group", "age", "sex", "site", "skin_type"]]
    for name, values in seeds.items():
        frame = frame.assign(**{name: values.mean(axis=1), f"{name}_by_seed": list(values), f"{name}_served": values[:, 2]})
    return frame.assign(served_seed=2)


def change(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    frame = classified(task, rng, "pair")
    more = {"registered": np.arange(N) % 10 > 0, "difference": rng.random(N).astype(np.float32)}
    return frame.assign(**more, malignant_change=pd.array([1, 0, None] * (N // 3), dtype="Int32"))


def sequences(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    frame = classified(task, rng)
    lesion = np.arange(N) // 3
    target = lesion % 2
    p = np.where(target == 1, [0.3, 0.6, 0.9] * (N // 3), 0.2).astype(np.float32)
    p[lesion == 19] = 0.1  # a melanoma that is never called one
    frame = frame.assign(target=target, p_0=1 - p, p_1=p, predicted=(p > 0.5).astype(int), group=[f"p{n:02d}" for n in lesion])
    return frame.assign(sequence=[f"n:{n}" for n in lesion], time_point=[1.0, 2.0, 3.0] * (N // 3), fold=lesion // 2 % 10)


def slides(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    return classified(task, rng, "slide").assign(tiles=200)


def prognosis(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    frame = classified(task, rng)
    ill = frame["target"].to_numpy() > 0
    facts = {"patient": [f"c:{n}" for n in range(N)], "group": [f"c:{n}" for n in range(N)]}
    facts |= {
        "score": (0.5 * rng.random(N) + 0.3 * ill).astype(np.float32),
        "recurrence": (rng.random(N) < 0.3 + 0.6 * ill) * 1.0,
    }
    facts |= {"rfi_months": np.where(ill, rng.uniform(3, 80, N), rng.uniform(20, 130, N)), "breslow": rng.uniform(0.5, 5, N)}
    facts |= {"ulceration": (np.arange(N) // 3 % 2) * 1.0, "mitosis": np.nan, "subtype": None}
    return frame.assign(**facts, stage=["I", "II", "II", "I", "III", "I"] * (N // 6))


def total_body(task: Benchmark, rng: np.random.Generator) -> pd.DataFrame:
    frame = classified(task, rng, "lesion").drop(columns=["fold", "p_0", "p_1"])
    target = (np.arange(N) % 6 == 0).astype(int)
    arms = {"by_risk": rng.random(N) < 0.3 + 0.4 * target, "by_duckling": rng.random(N) < 0.2, "by_trees": target == 1}
    arms["by_trees"][[0, 6]] = arms["by_risk"][0] = arms["by_duckling"][0] = False
    frame = frame.assign(**arms, target=target, label=np.where(target == 1, "malignant", "not_malignant"), missing=0)
    says = frame[list(arms)].any(axis=1).astype(int)
    scores = {"risk_score": rng.random(N).astype(np.float32), "trees_score": (0.5 * rng.random(N) + 0.5 * target)}
    return frame.assign(predicted=says, patient=frame["group"], risk=["high", "low"] * (N // 2), **scores)


_DRAWN: dict[str, Callable[[Benchmark, np.random.Generator], pd.DataFrame]] = {
    "pad_ufes": classified,
    "ham10000_seg": segmentation,
    "sddi2": change,
    "sddi_alfred": sequences,
    "cptac_cm": slides,
    "combinemel": prognosis,
    "tbp_screening": total_body,
}
"""A task of each kind."""


def _plain(figure: Any) -> dict[str, Any]:
    ends = {name: getattr(figure, name) for name in ("value", "low", "high")}
    known = {name: None if math.isnan(value) else value for name, value in ends.items()}
    return {"metric": figure.metric, **known, "n": figure.n, "groups": figure.groups}


@cache
def _told(key: str) -> str:
    task = benchmark(key)
    predictions = _DRAWN[key](task, np.random.default_rng(0))
    first, *figures = all_figures(task, predictions, Resampling(replicates=100))
    others = {figure.metric: _plain(figure) for figure in figures if figure.scope == "overall"}
    report = {"task": key, "classes": list(task.classes), **_plain(first), "others": others}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "cluster_bootstrap", partial(cluster_bootstrap, replicates=100))
        return json.dumps(report | kind_of(task).details(task, predictions), allow_nan=False)


@pytest.fixture
def report_of() -> Callable[[str], dict[str, Any]]:
    """The report of a task: its kind's own figures and details of a small table."""
    return lambda key: json.loads(_told(key))


@pytest.fixture(params=sorted(_DRAWN))
def each_task(request: pytest.FixtureRequest) -> Benchmark:
    """A task of each kind, one after the other."""
    return benchmark(request.param)
