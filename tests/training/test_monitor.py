from __future__ import annotations

import math

import numpy as np
import pytest

from panderm.training.monitor import best_epoch, monitored, score

TARGETS = np.array([0, 0, 0, 1])
SURE = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])


def test_monitored__follows_the_public_code() -> None:
    assert monitored("auto", 2, TARGETS) == "auroc"
    assert monitored("auto", 7, TARGETS) == "accuracy"
    assert monitored("macro_recall", 2, TARGETS) == "macro_recall"


def test_monitored__is_none_where_nothing_can_be_scored() -> None:
    assert monitored("auto", 2, np.zeros(5, dtype=np.int64)) is None
    assert monitored("auto", 7, np.zeros(0, dtype=np.int64)) is None


def test_score__each_figure() -> None:
    assert score("auroc", TARGETS, SURE) == 1.0
    assert score("accuracy", TARGETS, SURE) == 0.75
    assert score("macro_recall", TARGETS, SURE) == pytest.approx((2 / 3 + 1) / 2)


def test_best_epoch__first_of_equals_and_last_without_scores() -> None:
    lines = [{"step": n + 1, "score": value} for n, value in enumerate([0.5, 0.8, 0.8, 0.1])]
    assert best_epoch(lines) == 2
    assert best_epoch([{"step": n, "score": math.nan} for n in (1, 2, 3)]) == 3
