"""Segmentation: the mask of a lesion by UperNet on the encoder (paper, Methods, Segmentation), judged by Dice and Jaccard.

Figures of an image are means over the seeds, as the paper's are, so an interval over images says how certain they are on other
lesions; how far the seeds are apart stands beside it. One of the networks is served, chosen on the validation split; its own
figures stand beside the means, and the gate judges that one alone (docs/decisions/0011-one-of-the-seeds.md).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file
from panderm.evaluation.bootstrap import Statistic
from panderm.tasks.kinds import Fitted, Given, Prepared
from panderm.tasks.rows import SPLIT_NAME
from panderm.training.segmentation_recipe import SegmentationRecipe as Recipe

if TYPE_CHECKING:
    from panderm.imaging.masks import Mask
    from panderm.imaging.preprocessing import Preprocessing
    from panderm.models.task_model import ModelCard
    from panderm.models.upernet import UperNet
    from panderm.tasks.kinds import Ask

EXPORTED = True
_NO_PAIR = "without_mask"
_FIGURES = ("dice", "jaccard")


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the images with a mask; every one has the label of the foreground."""
    joined = rows.merge(masks, on="image_id", how="inner")
    if joined.empty:
        raise InputError(f"{task.key}: none of its {len(rows)} images has a mask; deliver the masks in their native folder")
    joined["label"] = joined["stratum"] = task.classes[1]
    return Prepared(joined, {_NO_PAIR: len(rows) - len(joined)})


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Train a network for each seed, in a process of its own."""
    from panderm.imaging.masks import squeezed
    from panderm.models.encoder import load_card
    from panderm.training.finetune_curves import draw_fine_tuning
    from panderm.training.kind_worker import Job, clear, train_apart
    from panderm.training.segmentation import Settings, weights_name

    paths = {"split": given.split / SPLIT_NAME, "data": given.data, "encoder": given.encoder}
    settings = Settings(recipe=recipe, **{name: path.resolve() for name, path in paths.items()})
    job = Job(
        module="segmentation",
        settings=settings.model_dump(mode="json"),
        work=given.work.resolve(),
        device=given.compute.device,
        threads=given.compute.threads,
    )
    recipe_values, card = recipe.model_dump(mode="json"), load_card(given.encoder)
    identity = {"recipe": recipe_values, "split": given.rows.sha256, "encoder": card.sha256}
    final = train_apart(job, identity, given.say)
    facts = read_json(final / "final.json")
    for seed in range(recipe.seeds):
        shutil.copyfile(final / weights_name(seed), folder / weights_name(seed))
    best = best_seed([seed["score"] for seed in facts["seeds"]])
    shown = facts["seeds"][best]
    history = [{"step": line["epoch"], "loss": line["loss"], "score": np.nan} for line in shown["history"]]
    draw_fine_tuning(history, shown | {"monitor": "jaccard"}, given.task.key, folder / "curves.png")
    clear(given.work)
    others = {weights_name(seed): sha256_file(folder / weights_name(seed)) for seed in range(recipe.seeds) if seed != best}
    chosen = {"served_seed": best, "validation_jaccard": [seed["score"] for seed in facts["seeds"]]}
    told = {"segmentation": recipe_values, "weights_of_seeds": others, **chosen}
    values = {"train_images": facts["train_images"], "served_seed": best, "seeds": facts["seeds"]}
    return Fitted(weights_name(best), "upernet", told, values, preprocessing=squeezed(card.preprocessing))


def best_seed(scores: list[float | None]) -> int:
    """Return which seed is served: the one with the best figure on the validation split, of equals the first.

    Args:
        scores: of each seed; None without a validation image, and then it is the first.
    """
    return max(range(len(scores)), key=lambda seed: (-np.inf if (score := scores[seed]) is None else score, -seed))


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return Dice and Jaccard of each test image: means over the seeds, of each seed, and of the one that is served."""
    from panderm.imaging.masks import load_pairs
    from panderm.models.task_model import load_model_card
    from panderm.training.segmentation import predict_masks

    card, test = load_model_card(model), _test(given)
    images, masks = load_pairs(test, given.data, card.preprocessing, f"evaluate {given.task.key}")
    networks = (_network(given, card, model, seed) for seed in range(_recipe(card).seeds))
    measured = np.stack([_measured(predict_masks(network, images, card.preprocessing), masks) for network in networks])
    return _table(test, measured, served_seed(card))


def answers(given: Given, spec: Preprocessing, ask: Ask) -> pd.DataFrame:
    """Return Dice and Jaccard of the masks that a released network gives the test images, on its own square."""
    from panderm.imaging.masks import load_pairs, marked

    test, step = _test(given), given.compute.feature_batch
    images, masks = load_pairs(test, given.data, spec, f"champion {given.task.key}")
    parts = (images[first : first + step] for first in range(0, len(images), step))
    found = np.stack([marked(one) for part in parts for one in ask(part)])
    return _table(test, _measured(found, masks)[None], None)


def _test(given: Given) -> pd.DataFrame:
    test = given.rows.part("test")
    if test.empty:
        raise InputError(f"the test split of {given.task.key} has no image with a mask; deliver more and curate")
    return test


def _measured(found: Mask, masks: Mask) -> NDArray[np.float32]:
    """Return Dice and Jaccard (N, 2) of predicted masks (N, S, S)."""
    from panderm.imaging.masks import overlap

    return np.array([overlap(guess, true) for guess, true in zip(found, masks, strict=True)], dtype=np.float32)


def _table(test: pd.DataFrame, measured: NDArray[np.float32], seed: int | None) -> pd.DataFrame:
    """Return the predictions table of figures (seeds, N, 2) and the seed that is served; None if they are one network's."""
    frame = test.reset_index(drop=True).assign(served_seed=seed)
    for number, name in enumerate(_FIGURES):
        values = measured[..., number]
        frame = frame.assign(**{name: values.mean(axis=0), f"{name}_served": values[seed or 0]})
        frame[f"{name}_by_seed"] = list(values.T)
    return frame.sort_values("image_id", ignore_index=True)


def served_seed(card: ModelCard) -> int:
    """Return which seed's network is served; that of cards from before one was chosen is the first."""
    return int(card.config.get("served_seed", 0))


def _recipe(card: ModelCard) -> Recipe:
    return Recipe.parse(card.config["segmentation"], where="model.json")


def _network(given: Given, card: ModelCard, model: Path, seed: int) -> UperNet:
    """Return the network of one seed on the device that is wanted."""
    import torch

    from panderm.models.mask_model import load_network
    from panderm.training.segmentation import weights_name

    gpu = given.compute.device == "cuda" or (given.compute.device == "auto" and torch.cuda.is_available())
    hashes = {card.weights: card.weights_sha256, **card.config["weights_of_seeds"]}
    network: UperNet = load_network(card, model / weights_name(seed), hashes[weights_name(seed)])
    return network.to("cuda" if gpu else "cpu")


def schema(task: Benchmark) -> pa.Schema:  # noqa: ARG001
    """Return the columns of the predictions table."""
    text, many = pa.string(), pa.list_(pa.float32())
    facts = [("age", pa.float64()), ("sex", text), ("site", text), ("skin_type", text)]
    scores = [(f"{name}{of}", pa.float32()) for of in ("", "_served") for name in _FIGURES]
    seeds = [("served_seed", pa.int32()), *((f"{name}_by_seed", many) for name in _FIGURES)]  # null: a released model's answers
    return pa.schema([("image_id", text), ("group", text), *scores, *seeds, *facts])


def served(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the figures of the network that is served in the place of the means over the seeds."""
    return predictions.assign(**{name: predictions[f"{name}_served"] for name in _FIGURES})


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return the mean Jaccard index."""
    from panderm.evaluation.metrics import mean_statistic

    return mean_statistic(predictions[task.metric])


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:  # noqa: ARG001
    """Return the mean Dice coefficient."""
    from panderm.evaluation.metrics import mean_statistic

    return {"dice": mean_statistic(predictions["dice"])}


def class_score(task: Benchmark, predictions: pd.DataFrame, index: int) -> dict[str, Statistic]:  # noqa: ARG001
    """Return nothing: a mask has no class."""
    return {}


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    """Write the worst, middling and best masks of the served network over their images, and how the figures spread."""
    from panderm.evaluation.mask_plots import draw_masks, draw_overlaps
    from panderm.imaging.masks import load_pairs
    from panderm.models.task_model import load_model_card
    from panderm.training.segmentation import predict_masks

    predictions = served(predictions)
    ranked = predictions.sort_values(["jaccard", "image_id"], ignore_index=True)
    places = sorted({0, 1, len(ranked) // 2 - 1, len(ranked) // 2, len(ranked) - 2, len(ranked) - 1} & set(range(len(ranked))))
    chosen = ranked.iloc[places]
    test = given.rows.part("test").set_index("image_id").loc[chosen["image_id"]].reset_index()
    card = load_model_card(model)
    images, masks = load_pairs(test, given.data, card.preprocessing, "pictures")
    found = predict_masks(_network(given, card, model, served_seed(card)), images, card.preprocessing)
    draw_masks(folder / "masks.png", images, masks, found, list(chosen["jaccard"]), given.task.key)
    draw_overlaps(folder / "overlap.png", predictions, f"{given.task.key}, the network that is served")


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:  # noqa: ARG001
    """Return the mean of each seed, their mean with its standard error over the seeds (paper's error bars), and what is served.

    ``missed`` counts the test images on which the served network's mask does not touch the lesion.
    """
    told: dict[str, Any] = {}
    for metric in _FIGURES:
        means = np.stack(predictions[f"{metric}_by_seed"].to_list()).mean(axis=0, dtype=np.float64)
        error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None
        told[metric] = {"by_seed": [round(float(m), 6) for m in means], "mean": float(means.mean()), "standard_error": error}
    missed = int((predictions["jaccard_served"] == 0).sum())
    return {"seeds": told, "served": {"seed": int(predictions["served_seed"].iloc[0]), "missed": missed}}
