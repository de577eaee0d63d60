from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from panderm.catalog import benchmark
from panderm.evaluation.figures import Resampling, all_figures


@pytest.mark.parametrize(("task", "bounded"), [("ham10000", False), ("dermnet", True)])
def test_all_figures__pairs_of_many_classes_get_a_value_and_the_reason_for_no_interval(task: str, bounded: bool) -> None:
    row, rng = benchmark(task), np.random.default_rng(0)
    classes = len(row.classes)
    target = np.arange(60) % classes
    scores = rng.dirichlet(np.ones(classes), 60) + 0.2 * np.eye(classes)[target]
    scores /= scores.sum(axis=1, keepdims=True)
    frame = pd.DataFrame({f"p_{n}": scores[:, n] for n in range(classes)})
    frame = frame.assign(target=target, predicted=scores.argmax(axis=1), group=[f"g{n}" for n in range(60)])
    frame = frame.assign(age=None, sex=None, site=None, skin_type=None)
    overall = [figure for figure in all_figures(row, frame, Resampling(replicates=100)) if figure.scope == "overall"]
    pairs = next(figure for figure in overall if figure.metric == "auroc_ovo")
    assert 0.5 < pairs.value < 1
    assert math.isnan(pairs.low) is bounded
    assert (pairs.reason == "a mean over 23 classes in pairs gets no interval above 20") is bounded
    others = [figure for figure in overall if figure.metric != "auroc_ovo"]
    assert not any(math.isnan(figure.low) for figure in others), "only the pairs are left without"
