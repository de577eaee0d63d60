"""Synthetic answers in the size of the paper's designs, to try a study with. No person gave them; every row says so.

Skill, difficulty and the pull of the model's advice are drawn; none of their strengths is taken from a result.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.core.files import writing
from panderm.reader_studies.answers import CLASSES, DESIGNS, SYNTHETIC

MELANOMAS, BENIGN, IMAGES = 89, 90, 730
"""Sequences and images of study 1 (paper: SDDI-Alfred, 179 sequences, 730 images, 89 melanomas)."""

EXPERIENCE = {"experienced": 7, "less experienced": 5}
"""Readers of study 1; their number is ours, the reference has none."""

READERS2, ANSWERS2, IMAGES2 = 41, 3320, 1511
"""Study 2 (paper: 41 readers, 3,320 answers, the 1,511 test images of ISIC 2018 task 3)."""

READERS3, ANSWERS3, IMAGES3, CONDITIONS = 37, 1342, 200, 128
"""Study 3 (paper: 37 readers, 1,342 answers, 200 images, 128 conditions)."""

GROUPS = ("inflammatory", "infectious", "neoplastic", "pigmentary", "adnexal")
"""Condition groups of the example; a real table brings its own."""

_PRIORS = np.array([0.03, 0.06, 0.14, 0.03, 0.12, 0.59, 0.03])  # of CLASSES, roughly those of dermoscopic archives
_SPECIALTIES = ("dermatologist", "resident", "generalist")


def example(study: int, seed: int = 0) -> pd.DataFrame:
    """Return synthetic answers of study 1, 2 or 3; equal seeds give equal tables."""
    frame = {1: _sequences, 2: _diagnoses, 3: _conditions}[study](np.random.default_rng([seed, study]))
    columns = [column.name for column in DESIGNS[study].columns if column.name in frame]
    return frame.sort_values(list(DESIGNS[study].key), ignore_index=True)[columns].assign(**{SYNTHETIC: True})


def write_example(study: int, path: Path, seed: int = 0) -> int:
    """Write :func:`example` as CSV and return its number of rows."""
    frame = example(study, seed)
    with writing(path) as aside:
        frame.to_csv(aside, index=False, lineterminator="\n")
    return len(frame)


def _sequences(rng: np.random.Generator) -> pd.DataFrame:
    lesions = MELANOMAS + BENIGN
    extra = rng.multinomial(IMAGES - 2 * lesions, np.full(lesions, 1 / lesions))
    order = np.repeat(np.arange(lesions), 2 + extra)
    time = np.concatenate([np.arange(1, 3 + more) for more in extra])
    malignant = order < MELANOMAS
    # How much of a melanoma an image shows: it grows with time; a benign lesion stays what it is.
    seen = rng.normal(0, 0.8, lesions)[order] + np.where(malignant, 0.5 + 0.35 * (time - 1), -0.9) + rng.normal(0, 0.3, IMAGES)
    parts: list[tuple[str, str, str | None, float, float]] = [("model", "model", None, 0.9, 0.1)]
    for experience, count in EXPERIENCE.items():
        strength = (0.8, 0.35) if experience == "experienced" else (0.6, 0.5)
        parts += [(f"{experience[0]}{n:02d}", "reader", experience, *strength) for n in range(1, count + 1)]
    frames = []
    for reader, kind, group, skill, caution in parts:
        own = caution + (rng.normal(0, 0.2) if kind == "reader" else 0.0)
        answer = skill * seen + rng.normal(0, 0.5, IMAGES) > own
        frames.append(
            pd.DataFrame(
                {
                    "reader": reader,
                    "kind": kind,
                    "experience": group,
                    "sequence": [f"s{number:03d}" for number in order],
                    "time_point": time,
                    "label": np.where(malignant, "malignant", "benign"),
                    "answer": np.where(answer, "malignant", "benign"),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _shares(rng: np.random.Generator, readers: int, answers: int, images: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return reader and image of each answer: as even as it goes, each reader sees different images."""
    counts = np.full(readers, answers // readers)
    counts[: answers % readers] += 1
    seen = [rng.choice(images, count, replace=False) for count in counts]
    return np.repeat(np.arange(readers), counts), np.concatenate(seen)


def _diagnoses(rng: np.random.Generator) -> pd.DataFrame:
    classes = np.array(CLASSES)
    truth, hard = rng.choice(len(classes), IMAGES2, p=_PRIORS), rng.normal(0, 1, IMAGES2)
    model = _guess(rng, truth, hard, np.full(IMAGES2, 1.1))
    entry = rng.beta(6, 4, READERS2)
    reader, image = _shares(rng, READERS2, ANSWERS2, IMAGES2)
    alone = _guess(rng, truth[image], hard[image], 3 * entry[reader] - 1.2)
    # Whoever knows less follows more often.
    follows = rng.random(ANSWERS2) < 0.65 - 0.5 * entry[reader]
    return pd.DataFrame(
        {
            "reader": [f"r{number:02d}" for number in reader],
            "entry_score": entry[reader].round(3),
            "image": [f"i{number:04d}" for number in image],
            "label": classes[truth[image]],
            "without_support": classes[alone],
            "with_support": classes[np.where(follows, model[image], alone)],
            "model": classes[model[image]],
        }
    )


def _guess(
    rng: np.random.Generator, truth: NDArray[np.intp], hard: NDArray[np.float64], skill: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return answers that are right where skill and luck exceed the difficulty, else a class by its frequency."""
    right = skill + rng.normal(0, 1, len(truth)) > hard
    return np.where(right, truth, rng.choice(len(_PRIORS), len(truth), p=_PRIORS)).astype(np.intp)


def _conditions(rng: np.random.Generator) -> pd.DataFrame:
    group = np.arange(CONDITIONS) % len(GROUPS)
    truth = np.concatenate([np.arange(CONDITIONS), rng.integers(0, CONDITIONS, IMAGES3 - CONDITIONS)])
    specialty = np.arange(READERS3) % len(_SPECIALTIES)
    skill = np.array([0.55, 0.4, 0.25])[specialty] + rng.normal(0, 0.05, READERS3)
    reader, image = _shares(rng, READERS3, ANSWERS3, IMAGES3)
    label = truth[image]
    alone = _named(rng, label, skill[reader])
    advised = np.where(rng.random(ANSWERS3) < 0.45, _named(rng, label, np.full(ANSWERS3, 0.6)), alone)
    columns = {"without": alone, "with": advised}
    frame = pd.DataFrame(
        {
            "reader": [f"r{number:02d}" for number in reader],
            "specialty": np.array(_SPECIALTIES)[specialty[reader]],
            "image": [f"i{number:03d}" for number in image],
            "label": [f"condition {number:03d}" for number in label],
            "condition_group": np.array(GROUPS)[group[label]],
        }
    )
    sure = rng.normal(2.4, 0.6, ANSWERS3)
    for name, said in columns.items():
        near = group[said] == group[label]
        score = np.select([said == label, near & (np.abs(said - label) <= 10), near], [4, 3, 2], 1)
        frame[f"diagnosis_{name}"] = [f"condition {number:03d}" for number in said]
        frame[f"score_{name}"] = score
        lucky = rng.random(ANSWERS3) < (0.2 if name == "without" else 0.3)
        frame[f"top3_{name}"] = ((said == label) | lucky).astype(int)
        raised = sure + (0.0 if name == "without" else 0.3) + 0.2 * (score - 2)
        frame[f"confidence_{name}"] = np.clip(np.round(raised), 1, 4).astype(int)
    return frame


def _named(rng: np.random.Generator, label: NDArray[np.intp], skill: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return a condition: the right one, one of its group, or any."""
    luck = rng.random(len(label))
    neighbour = (label + len(GROUPS) * rng.integers(1, 6, len(label))) % (CONDITIONS - CONDITIONS % len(GROUPS))
    anything = rng.integers(0, CONDITIONS, len(label))
    return np.select([luck < skill, luck < skill + 0.25], [label, neighbour], anything).astype(np.intp)
