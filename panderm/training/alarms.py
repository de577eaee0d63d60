"""When a look at a training gives reason to worry, in one plain sentence.

A fresh encoder's class tokens are all alike, and a warm-up may press them together before it pulls them apart, so collapse
signs are judged after it. The bounds stand between deliberate collapses and healthy runs; docs/watching.md has both.
"""

from __future__ import annotations

import math
from typing import Any

Look = dict[str, Any]
Alarm = tuple[str, str]
"""What kind it is, and the sentence."""

LEAST_STD = 0.1
"""Feature deviation below which images are as good as one vector (measured: healthy .72 to .82, collapsed .03 to .06)."""

LEAST_RANK = 2.0
"""Effective rank below which one direction holds nearly everything (measured: healthy 3.8 and more)."""

FALLEN = 0.5
"""Share of its highest value since the warm-up below which deviation or rank has fallen (measured: healthy .93 and more)."""

RISEN = 1.1
"""Times its lowest value at which a modality's loss has risen, if twice in a row (measured: single looks up to 1.05)."""

APART = 1.5
"""Times as far that another modality's nearest image was when modalities were told apart (measured: healthy 1.8 to 7)."""

ERRORS = 3.0
"""Standard errors of the difference by which the probe may fall below its best."""


def alarms(looks: list[Look]) -> list[Alarm]:
    """Return what is wrong by the last signs and the last probe in ``looks`` (lines of ``watch.jsonl``, in order)."""
    signs = [look for look in looks if "by_modality" in look]
    settled = [look for look in signs if look["settled"]]
    probes = [look for look in looks if look.get("probe_mean") is not None]
    return [*_collapse(settled), *_neighbours(settled), *_rising(signs), *_probe(probes)]


def _collapse(settled: list[Look]) -> list[Alarm]:
    raised = []
    for key, words, least in (
        ("feature_std", "feature deviation", LEAST_STD),
        ("effective_rank", "effective rank", LEAST_RANK),
    ):
        if not settled:
            continue
        value, step = settled[-1][key], settled[-1]["step"]
        highest = max(look[key] for look in settled)
        if value < least:
            raised.append((key, f"the {words} is {value:.3g} at step {step}, below {least:g}; {_MEANING[key]}"))
        elif value < FALLEN * highest:
            raised.append((key, f"the {words} fell from {highest:.3g} to {value:.3g} at step {step}; {_MEANING[key]}"))
    return raised


_MEANING = {
    "feature_std": "the encoder maps all images to nearly the same vector (collapse), so look at the teacher's targets, then "
    "lower the learning rate",
    "effective_rank": "the encoder uses fewer and fewer directions (dimensional collapse), so look at the teacher and at how "
    "alike the corpus's images are",
}


def _neighbours(settled: list[Look]) -> list[Alarm]:
    """Modalities that were told apart no longer are; where they never were (alike pictures), that is how the corpus is."""
    gaps = [gap for look in settled if (gap := _gap(look)) is not None]
    if not gaps or gaps[-1] >= 1 or max(gaps) < APART:
        return []
    sentence = (
        f"an image's nearest neighbour of another modality is as near as that of its own at step {settled[-1]['step']} and was "
        f"{max(gaps):.1f} times as far; the encoder no longer tells modalities apart, so look at the teacher's targets"
    )
    return [("neighbours", sentence)]


def _gap(look: Look) -> float | None:
    """Return how many times as far the nearest image of another modality is as that of the same, by 1 - cosine."""
    within, across = look["neighbour_within"], look["neighbour_across"]
    return None if within is None or across is None else float((1 - across) / max(1 - within, 1e-9))


def _rising(signs: list[Look]) -> list[Alarm]:
    """A modality's loss on the same images, twice in a row clearly above its lowest, whatever the others do."""
    if len(signs) < 3:
        return []
    raised, last = [], signs[-1]
    for name, value in last["by_modality"].items():
        lowest = min(look["by_modality"][name] for look in signs[:-2])
        if min(value, signs[-2]["by_modality"][name]) > RISEN * lowest:
            sentence = (
                f"the loss of {name} rose from {lowest:.4g} to {value:.4g} at step {last['step']} on the same images; give it "
                "more weight in sampling, or lower the learning rate"
            )
            raised.append((f"loss of {name}", sentence))
    return raised


def _probe(probes: list[Look]) -> list[Alarm]:
    if not probes:
        return []
    best, last = max(probes, key=lambda look: float(look["probe_mean"])), probes[-1]
    if best["probe_mean"] - last["probe_mean"] <= ERRORS * math.hypot(best["probe_error"], last["probe_error"]):
        return []
    sentence = (
        f"the k-NN probe fell from {best['probe_mean']:.3f} at step {best['step']} to {last['probe_mean']:.3f} at step "
        f"{last['step']}, which is more than chance; keep an eye on the curves before going on"
    )
    return [("probe", sentence)]
