"""How many labels does a task need? Linear probes (or, of masks, UperNet) on shares of the training labels.

The paper's study of label efficiency (arXiv 2410.15038). Shares are of whole patients (or whatever the split keeps together),
class by class, and nested: what a draw holds at 10 % it also holds at 20 %. Several seeded draws show how much hangs on which
patients were labelled. Nothing but labels of the training split is taken away; test and validation split stay as they are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.progress import progress
from panderm.evaluation.figures import interval_of
from panderm.evaluation.tables import predictions_frame
from panderm.studies.lines import line_chart
from panderm.studies.points import Given, Point, Told
from panderm.tasks.kinds import kind_of
from panderm.tasks.linear_probe import Probe, fit
from panderm.tasks.rows import Rows, check_fittable, check_two_classes, read_rows
from panderm.training.features import features

STUDY = "label_efficiency"
KINDS = ("diagnosis", "segmentation")


class Config(FrozenConfig):
    """What is drawn.

    Attributes:
        fractions: shares of the training labels (paper: 5, 10, 20, 30, 50, 100 %).
        draws: draws a share; all labels are one draw (five, as the paper's error bars rest on five).
        seed: of the draws.
    """

    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    draws: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0)


def run(config: Config, given: Given) -> Told:
    """Fit a probe for each share and draw, and judge each on the whole test split.

    Raises:
        ConfigError: a share is not above 0 and at most 1.
        InputError: the task has no split, or its training or test split has one class only.
    """
    _check(config)
    task, layout = given.task, given.layout
    rows = read_rows(task, layout.split(task.key))
    points = _masks(config, given, rows) if task.kind == "segmentation" else _probes(config, given, rows)
    means = [_mean(task.metric, [point for point in points if point.level == share]) for share in config.fractions]
    whole = next((point for point in points if point.level == 1.0), None)
    return Told(
        title=f"Label efficiency, {given.named}",
        text=_text(_WAYS[task.kind], means, whole),
        points=[*means, *points],
        draw=line_chart(f"Label efficiency, {given.named}", "share of the training labels", single=("single draws",), log=True),
        hashes={"split": rows.sha256},
    )


def _probes(config: Config, given: Given, rows: Rows) -> list[Point]:
    task, layout = given.task, given.layout
    check_fittable(task, rows)
    check_two_classes(task, rows.part("test"), "test")
    table = features(layout.pretrained, rows.frame, layout.data, layout.features, what=f"features {task.key}")
    every: list[tuple[float, int]] = [(share, draw) for share in config.fractions for draw in range(_draws(config, share))]
    points: list[Point] = []
    for share, draw in progress(every, what=f"{STUDY} {task.key}", total=len(every), unit="probe"):
        chosen = labelled(rows.part("train"), share, config.seed + draw)
        points.append(_point(given, rows.frame, table, chosen, share, draw))
    return points


def _masks(config: Config, given: Given, rows: Rows) -> list[Point]:
    from panderm.studies.limited_masks import points_of_share

    return [point for share in config.fractions for point in points_of_share(given, rows, share, config.draws)]


def _check(config: Config) -> None:
    from panderm.core.errors import ConfigError

    for share in config.fractions:
        if not 0 < share <= 1:
            raise ConfigError(f"fractions holds {share}, but a share of the labels is above 0 and at most 1")


def _draws(config: Config, share: float) -> int:
    return 1 if share == 1 else config.draws


def labelled(train: pd.DataFrame, share: float, seed: int) -> pd.Index:
    """Return the index of the training rows whose labels are kept: of each class whole groups up to ``share`` of its images.

    A group counts for its rarest label, as in curate's splits, and every class keeps at least one group.

    Args:
        train: columns ``label`` and ``group``.
        share: of the labels, above 0 and at most 1.
        seed: of the order; the same seed keeps at a larger share what it kept at a smaller one.
    """
    if share >= 1:
        return train.index
    rarity = train["label"].map(train["label"].value_counts())
    facts = train.assign(rarity=rarity).sort_values(["rarity", "label"], kind="stable")
    groups = facts.groupby("group", sort=True).agg(label=("label", "first"), size=("label", "size"))
    order = np.random.default_rng(seed).permutation(len(groups))
    kept: list[str] = []
    for _, members in groups.iloc[order].groupby("label", sort=True):
        before = members["size"].cumsum() - members["size"]
        kept += list(members.index[before < share * members["size"].sum()])  # the first always, and it may overshoot by a part
    return train.index[train["group"].isin(kept)]


def _point(given: Given, frame: pd.DataFrame, table: NDArray[np.float32], chosen: pd.Index, share: float, draw: int) -> Point:
    task, kind = given.task, kind_of(given.task)
    target = frame["target"].to_numpy(dtype=np.int64)
    mine = frame.index.isin(chosen)
    val, test = ((frame["split"] == name).to_numpy() for name in ("val", "test"))
    name = f"{share:.0%}, draw {draw + 1}" if share < 1 else "100%"
    if len(np.unique(target[mine])) < 2:
        nan, kept = float("nan"), int(mine.sum())
        return Point("single draws", name, share, task.metric, nan, nan, nan, kept, 0, "one class drawn")
    probe = fit(given.finetune.linear_probe, table[mine], target[mine], len(task.classes), (table[val], target[val]))
    predictions = predictions_frame(frame[test], _softmax(probe, table[test]))
    statistic = kind.primary(task, predictions)
    low = high = float("nan")
    if share == 1:
        low, high = interval_of(statistic, predictions, given.how)[1:3]
    value = statistic(np.ones(len(predictions)))
    counts = (int(mine.sum()), int(frame["group"][mine].nunique()))
    return Point("single draws", name, share, task.metric, value, low, high, *counts)


def _softmax(probe: Probe, features: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.special import softmax

    shares: NDArray[np.float32] = softmax(probe.logits(features), axis=1).astype(np.float32)
    return shares


def _mean(metric: str, draws: list[Point]) -> Point:
    values = np.array([point.value for point in draws])
    known = values[~np.isnan(values)]
    if not len(known):
        raise InputError("every draw of a share has one class only; ask for larger shares")
    images, groups = (round(float(np.mean([getattr(point, name) for point in draws]))) for name in ("n", "groups"))
    words = "mean, lowest and highest of the draws" if len(draws) > 1 else "all labels"
    span = (float(known.mean()), float(known.min()), float(known.max()))
    return Point("mean of draws", f"{draws[0].level:.0%}", draws[0].level, metric, *span, images, groups, words)


_WAYS = {
    "diagnosis": ("Linear probes on shares of the training labels", "whole patients, class by class"),
    "segmentation": ("UperNet on shares of the training masks", "whole patients or lesions, each with a training of its own"),
}
"""What is fitted, and what a draw takes, by kind."""


def _text(way: tuple[str, str], means: list[Point], whole: Point | None) -> str:
    said = (
        f"{way[0]}, judged on the whole test split. Value: mean over seeded draws of {way[1]}; from and to: the lowest and the "
        "highest draw; images and groups with a label."
    )
    if whole is None or np.isnan(whole.low):
        return said
    said += f" With all labels {whole.value:.3f} ({whole.low:.3f} to {whole.high:.3f}, 95 % over test groups)"
    enough = next((point for point in means if point.value >= whole.low), None)
    return f"{said}." if enough is None else f"{said}; {enough.name} is the smallest share whose mean is within that interval."
