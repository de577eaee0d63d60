from __future__ import annotations

import re
from typing import Any

import pytest

from panderm.training.alarms import alarms


def look(step: int, **changes: Any) -> dict[str, Any]:
    """Return what a healthy run looks like."""
    healthy = {
        "step": step,
        "by_modality": {"tbp": 1 / (1 + step), "clinical": 1 / (1 + step)},
        "feature_std": 0.7,
        "effective_rank": 9.0,
        "neighbour_within": 0.99,
        "neighbour_across": 0.97,
        "settled": step > 0,
    }
    return healthy | changes


def probe(step: int, mean: float) -> dict[str, Any]:
    return {"step": step, "probe": {"ham10000": mean}, "probe_mean": mean, "probe_error": 0.03}


def kinds(*looks: dict[str, Any]) -> list[str]:
    return [kind for kind, _ in alarms(list(looks))]


def test_alarms__a_healthy_run_has_none() -> None:
    young = {"feature_std": 0.05, "effective_rank": 1.0, "neighbour_across": 0.995}
    assert kinds() == []
    assert kinds(look(0, **young), probe(0, 0.3), look(1), look(2), probe(2, 0.25), look(3)) == []


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"feature_std": 0.05}, "feature_std", "feature deviation is 0.05 at step 2, below 0.1; .*collapse.*teacher's targets"),
        ({"feature_std": 0.3}, "feature_std", "feature deviation fell from 0.7 to 0.3 at step 2"),
        ({"effective_rank": 1.4}, "effective_rank", "effective rank is 1.4 at step 2, below 2; .*fewer directions"),
        ({"effective_rank": 4.0}, "effective_rank", "effective rank fell from 9 to 4 at step 2"),
        (
            {"neighbour_across": 0.9901},
            "neighbours",
            "another modality is as near as that of its own at step 2 and was 3.0 times as far",
        ),
    ],
)
def test_alarms__name_the_sign_that_turned_bad(changes: dict[str, float], kind: str, sentence: str) -> None:
    (found,) = alarms([look(0), look(1), look(2, **changes)])
    assert found[0] == kind
    assert re.search(sentence, found[1]), found[1]


def test_alarms__modalities_that_never_lay_apart_are_no_alarm() -> None:
    alike = {"neighbour_across": 0.9901}
    assert kinds(look(0), look(1, **alike), look(2, **alike)) == []
    assert kinds(look(0), look(1, neighbour_across=None), look(2, neighbour_across=None)) == []


def test_alarms__a_modality_rises_if_it_does_so_twice() -> None:
    rising = {"by_modality": {"tbp": 0.4, "clinical": 0.1}}
    assert kinds(look(0), look(2), look(3, **rising)) == []
    assert kinds(look(0), look(2), look(3, **rising), look(4, **rising)) == ["loss of tbp"]
    assert kinds(look(0), look(2), look(3, **rising), look(4, **rising), probe(4, 0.3)) == ["loss of tbp"]


def test_alarms__a_probe_may_fall_by_chance_but_not_further() -> None:
    assert kinds(probe(0, 0.40), probe(1, 0.30)) == []
    assert kinds(probe(0, 0.50), probe(1, 0.30), look(2)) == ["probe"]
