"""Is the pretraining worth anything? Three models side by side on one split, with the same clustered intervals.

Logistic regression on colour histograms (no network at all), a linear probe on the untrained encoder (same architecture,
seeded initial weights), a linear probe on the pretrained one. Each pair's difference is tested on the same replicates.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.catalog import Benchmark
from panderm.core.files import write_json, write_text
from panderm.evaluation.bootstrap import Interval, paired_bootstrap
from panderm.evaluation.evidence import answers_alike
from panderm.evaluation.figures import Resampling, interval_of
from panderm.evaluation.metrics import primary_of_classes
from panderm.evaluation.tables import predictions_frame
from panderm.imaging.batches import prepared_batches
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.encoder import CARD_NAME, EncoderCard, build_untrained_encoder, load_card, save_encoder
from panderm.tasks.linear_probe import fit
from panderm.tasks.rows import Rows, check_fittable, check_two_classes, read_rows
from panderm.training.features import features
from panderm.training.finetune_recipe import LinearProbeRecipe

HISTOGRAM, UNTRAINED, PRETRAINED = "colour histograms", "untrained encoder", "pretrained encoder"
BINS = 8
"""Bins a channel of the joint RGB histogram: 512 values, a common size since Swain and Ballard, Color Indexing, 1991."""

_STRENGTHS = tuple(10.0**power for power in range(-2, 5))  # inverse strengths tried for the histogram model, on validation


class Side(NamedTuple):
    """One of the models.

    Attributes:
        name: what it is.
        interval: the task's primary metric on the test split.
        predictions: its predictions table.
    """

    name: str
    interval: Interval
    predictions: pd.DataFrame


def compare(
    task: Benchmark,
    split: Path,
    data: Path,
    encoder: Path,
    cache: Path,
    out: Path,
    *,
    recipe: LinearProbeRecipe | None = None,
    how: Resampling | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit and judge the three models; write ``<task>.json`` and ``<task>.md`` to ``out`` and return the JSON value.

    Args:
        task: a runnable benchmark.
        split: curate's output folder for the task.
        data: the published datasets.
        encoder: pretrain's output folder.
        cache: the feature cache; the untrained encoder is kept beside it.
        out: folder for the two files.
        recipe: of the linear probes; if left out, the penalty is chosen on validation, as it is for the histograms.
        how: replicates, level and seed of the intervals.
        seed: of the untrained encoder's weights.

    Raises:
        InputError: an input is missing or damaged, or a split has fewer than two classes.
    """
    recipe, how = recipe or LinearProbeRecipe(penalty="tuned"), how or Resampling()
    rows = read_rows(task, split)
    check_fittable(task, rows)
    check_two_classes(task, rows.part("test"), "test")
    card = load_card(encoder)
    untrained = _untrained(card, cache.parent / "untrained", seed)
    answers: dict[str, Callable[[], NDArray[np.float32]]] = {
        HISTOGRAM: lambda: _histogram_model(rows, data, card.preprocessing, task),
        UNTRAINED: lambda: _probe(rows, data, untrained, cache, recipe, task),
        PRETRAINED: lambda: _probe(rows, data, encoder, cache, recipe, task),
    }
    sides = []
    for name, answer in answers.items():
        table = predictions_frame(rows.part("test"), answer())
        statistic = primary_of_classes(task.metric, table)
        sides.append(Side(name, interval_of(statistic, table, how), table))
    result = _result(task, rows, card, recipe, sides, how)
    write_json(out / f"{task.key}.json", result)
    write_text(out / f"{task.key}.md", as_markdown(result))
    return result


def colour_histograms(frame: pd.DataFrame, data: Path, spec: Preprocessing, bins: int = BINS) -> NDArray[np.float64]:
    """Return the square root of each image's joint RGB histogram, (N, bins^3); rows have length 1."""
    parts = []
    for pixels in prepared_batches(frame, data, spec, what="colour histograms"):
        place = (pixels.astype(np.int64) * bins // 256).reshape(len(pixels), 3, -1)
        cells = (place[:, 0] * bins + place[:, 1]) * bins + place[:, 2]
        parts += [np.bincount(row, minlength=bins**3) / row.size for row in cells]
    rows: NDArray[np.float64] = np.sqrt(np.array(parts))
    return rows


def _histogram_model(rows: Rows, data: Path, spec: Preprocessing, task: Benchmark) -> NDArray[np.float32]:
    """Fit scikit-learn's logistic regression, its strength chosen on the validation split, and answer the test split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    histograms = colour_histograms(rows.frame, data, spec)
    target = rows.frame["target"].to_numpy(dtype=np.int64)
    train, val, test = ((rows.frame["split"] == name).to_numpy() for name in ("train", "val", "test"))

    def answer(model: Any, part: NDArray[np.bool_]) -> NDArray[np.float64]:
        probabilities = np.zeros((int(part.sum()), len(task.classes)))
        probabilities[:, model.classes_] = model.predict_proba(histograms[part])
        return probabilities

    def loss(model: Any) -> float:
        clipped = answer(model, val).clip(1e-6)
        return float(log_loss(target[val], clipped / clipped.sum(axis=1, keepdims=True), labels=range(len(task.classes))))

    models = [LogisticRegression(C=c, max_iter=2000).fit(histograms[train], target[train]) for c in _STRENGTHS]
    best = min(models, key=loss) if val.any() else models[len(models) // 2]
    return answer(best, test).astype(np.float32)


def _probe(
    rows: Rows, data: Path, encoder: Path, cache: Path, recipe: LinearProbeRecipe, task: Benchmark
) -> NDArray[np.float32]:
    import torch

    table = features(encoder, rows.frame, data, cache, what=f"features {task.key}")
    target = rows.frame["target"].to_numpy(dtype=np.int64)
    train, val, test = ((rows.frame["split"] == name).to_numpy() for name in ("train", "val", "test"))
    probe = fit(recipe, table[train], target[train], len(task.classes), (table[val], target[val]))
    probabilities: NDArray[np.float32] = torch.softmax(torch.from_numpy(probe.logits(table[test])), dim=-1).numpy()
    return probabilities


def _untrained(card: EncoderCard, home: Path, seed: int) -> Path:
    """Return the folder of the untrained encoder of this architecture, written once."""
    side = f"{card.architecture.width}x{card.architecture.depth}-{card.architecture.image_size}"
    folder = home / f"{side}-seed{seed}"
    plain = EncoderCard(architecture=card.architecture, preprocessing=card.preprocessing, preset=card.preset)
    made = load_card(folder) if (folder / CARD_NAME).is_file() else None
    if made is None or made.model_copy(update={"sha256": ""}) != plain:
        save_encoder(folder, build_untrained_encoder(card.architecture, seed), plain)
    return folder


def _result(
    task: Benchmark, rows: Rows, card: EncoderCard, recipe: LinearProbeRecipe, sides: list[Side], how: Resampling
) -> dict[str, Any]:
    ours, test = sides[-1], rows.part("test")
    differences = {}
    for other in sides[:-1]:
        mine, theirs = (primary_of_classes(task.metric, side.predictions) for side in (ours, other))
        groups = ours.predictions["group"].to_numpy()
        alike = answers_alike(task, ours.predictions, other.predictions)
        drawn = paired_bootstrap(mine, theirs, groups, replicates=how.replicates, seed=how.seed, level=how.level, alike=alike)
        differences[other.name] = _plain(drawn)
    return {
        "task": task.key,
        "metric": task.metric,
        "images": {name: len(rows.part(name)) for name in ("train", "val", "test")},
        "test_groups": int(test["group"].nunique()),
        "models": {side.name: _plain(side.interval) for side in sides},
        "pretrained_minus": differences,
        "encoder": {"sha256": card.sha256, "preset": card.preset, "steps": card.steps},
        "linear_probe": recipe.model_dump(mode="json"),
        "split_sha256": rows.sha256,
        "replicates": how.replicates,
        "level": how.level,
    }


def _plain(interval: Interval) -> dict[str, float | None]:
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: None if np.isnan(value) else round(value, 6) for name, value in values.items()}


def as_markdown(result: dict[str, Any]) -> str:
    """Return the comparison as a Markdown table."""
    images = result["images"]
    lines = [
        f"### {result['task']}: {result['metric'].replace('_', ' ')} on {images['test']} images of {result['test_groups']} "
        f"patients or lesions (fitted on {images['train']})",
        "",
        f"| model | {result['metric'].replace('_', ' ')} | {result['level']:.0%} interval | pretrained minus this |",
        "|---|---|---|---|",
    ]
    for name, figure in result["models"].items():
        difference = result["pretrained_minus"].get(name)
        lines.append(f"| {name} | {_text(figure['value'])} | {_ends(figure)} | {_difference(difference)} |")
    return "\n".join(lines) + "\n"


def _text(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.3f}"


def _ends(figure: dict[str, float | None], sign: str = "") -> str:
    return f"{_text(figure['low'], sign)} to {_text(figure['high'], sign)}"


def _difference(figure: dict[str, float | None] | None) -> str:
    return "" if figure is None else f"{_text(figure['value'], '+')} ({_ends(figure, '+')})"
