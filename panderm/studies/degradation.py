"""How much does a model lose when images get worse? The task's own model on degraded test images, five strengths a kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.progress import progress
from panderm.evaluation.bootstrap import paired_bootstrap
from panderm.evaluation.figures import interval_of
from panderm.evaluation.tables import predictions_frame
from panderm.imaging.batches import prepared_batches
from panderm.imaging.degrade import DEGRADATIONS, STRENGTHS, Degradation, degrade
from panderm.models.task_model import TaskModel, load_task_model
from panderm.studies.lines import line_chart
from panderm.studies.points import Given, Point, Told, save_picture
from panderm.tasks.kinds import kind_of
from panderm.tasks.rows import check_two_classes, read_rows

STUDY = "degradation"
KINDS = ("diagnosis",)
_CLEAN = "as delivered"
Pixels = NDArray[np.uint8]


class Config(FrozenConfig):
    """What is degraded.

    Attributes:
        kinds: which degradations.
        images: so many test images, whole patients in a seeded order, one of each class at least (each image passes the
            network 31 times).
        batch: images a forward pass.
        seed: of the choice of images, of noise, and of the places of occlusions.
    """

    kinds: tuple[Degradation, ...] = DEGRADATIONS
    images: int = Field(default=500, ge=10)
    batch: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)


def run(config: Config, given: Given) -> Told:
    """Judge the task's model on its test images as delivered and degraded, the same images throughout.

    Raises:
        InputError: the task has no model, or the test images have one class only.
    """
    task, layout = given.task, given.layout
    rows = read_rows(task, layout.split(task.key))
    test = some_groups(rows.part("test"), config.images, config.seed)
    check_two_classes(task, test, "test")
    model = load_task_model(layout.model(task.key), layout.pretrained)
    batches = prepared_batches(test, layout.data, model.card.preprocessing, batch=config.batch, what=f"read {task.key}")
    pixels = np.concatenate(list(batches))
    clean = predictions_frame(test, _probabilities(model, pixels, config.batch))
    points = [_point(given, clean, clean, kind, 0) for kind in config.kinds]
    every = [(kind, strength) for kind in config.kinds for strength in range(1, STRENGTHS + 1)]
    for kind, strength in progress(every, what=f"{STUDY} {task.key}", total=len(every), unit="arm"):
        worse = degraded(pixels, kind, strength, config.seed)
        answers = predictions_frame(test, _probabilities(model, worse, config.batch))
        points.append(_point(given, clean, answers, kind, strength))
    points.sort(key=lambda point: (config.kinds.index(point.arm), point.level))  # type: ignore[arg-type]
    return Told(
        title=f"Image degradation, {given.named}",
        text=f"The task's model on {len(test)} test images, degraded as `panderm/imaging/degrade.py` says. Intervals are 95 %, "
        "over patients; the note has the difference to the images as delivered, paired.",
        points=points,
        draw=line_chart(f"Image degradation, {given.named}", "strength (0: as delivered)"),
        hashes={"split": rows.sha256, "model_weights": model.card.weights_sha256},
        pictures=(("examples.png", _examples(pixels[0], config)),),
    )


def some_groups(test: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return whole groups of rows, in a seeded order, until ``most`` rows are reached; in the table's order.

    The first group of each class in that order is always among them, even beyond ``most``: a patient of many images or a rare
    class would otherwise leave nothing to measure.

    Args:
        test: columns ``group, label``.
        most: rows, unless the groups that every class needs hold more.
        seed: of the order.
    """
    if len(test) <= most:
        return test
    groups = test["group"].astype(str)
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    rank = groups.map({name: number for number, name in enumerate(names)})
    needed = set(names[rank.groupby(test["label"]).min()])
    order = sorted(names, key=lambda name: name not in needed)  # stable: the seeded order within each part
    sizes = groups.value_counts().reindex(order).cumsum()
    return test[groups.isin(needed | set(sizes.index[sizes <= most]))]


def degraded(pixels: Pixels, kind: Degradation, strength: int, seed: int) -> Pixels:
    """Return images (N, 3, S, S) degraded, each with random numbers of its own that do not hang on how many there are."""
    return np.stack(
        [degrade(image, kind, strength, np.random.default_rng([seed, number])) for number, image in enumerate(pixels)]
    )


def _probabilities(model: TaskModel, pixels: Pixels, batch: int) -> NDArray[np.float32]:
    return np.concatenate([model.probabilities(pixels[first : first + batch]) for first in range(0, len(pixels), batch)])


def _point(given: Given, clean: pd.DataFrame, answers: pd.DataFrame, kind: str, strength: int) -> Point:
    task = given.task
    before, after = (kind_of(task).primary(task, frame) for frame in (clean, answers))
    interval = interval_of(after, answers, given.how)
    note = _CLEAN
    if strength:
        groups = answers["group"].to_numpy()
        gap = paired_bootstrap(after, before, groups, replicates=given.how.replicates, seed=given.how.seed)
        note = f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    name = f"{kind} {strength}" if strength else _CLEAN
    counts = (len(answers), int(answers["group"].nunique()))
    return Point(kind, name, float(strength), task.metric, *interval[:3], *counts, note)


def _examples(image: Pixels, config: Config) -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.4 * (STRENGTHS + 1), 1.4 * len(config.kinds)), dpi=100, layout="constrained")
        places = figure.subplots(len(config.kinds), STRENGTHS + 1, squeeze=False)
        for kind, line in zip(config.kinds, places, strict=True):
            for strength, axes in enumerate(line):
                shown = degrade(image, kind, strength, np.random.default_rng([config.seed, 0]))
                axes.imshow(shown.transpose(1, 2, 0))
                axes.set(xticks=[], yticks=[])
                axes.set_title(f"{kind} {strength}" if strength else _CLEAN, fontsize=7)
        save_picture(figure, path)

    return draw
