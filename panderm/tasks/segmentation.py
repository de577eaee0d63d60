"""Segmentation: the mask of a lesion by UperNet on the encoder (paper, Methods, Segmentation), judged by Dice and Jaccard.

Figures of an image are means over the seeds, so an interval over images says how certain they are on other lesions; how far
the seeds are apart stands beside it. The model is judged, not served.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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

EXPORTED = False
_NO_PAIR = "without_mask"


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the images with a mask; every one has the label of the foreground."""
    joined = rows.merge(masks, on="image_id", how="inner")
    if joined.empty:
        raise InputError(f"{task.key}: none of its {len(rows)} images has a mask; deliver the masks in their native folder")
    joined["label"] = joined["stratum"] = task.classes[1]
    return Prepared(joined, {_NO_PAIR: len(rows) - len(joined)})


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Train a network for each seed, in a process of its own."""
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
    recipe_values = recipe.model_dump(mode="json")
    identity = {"recipe": recipe_values, "split": given.rows.sha256, "encoder": load_card(given.encoder).sha256}
    final = train_apart(job, identity, given.say)
    facts = read_json(final / "final.json")
    for seed in range(recipe.seeds):
        shutil.copyfile(final / weights_name(seed), folder / weights_name(seed))
    history = [{"step": line["epoch"], "loss": line["loss"], "score": np.nan} for line in facts["seeds"][0]["history"]]
    draw_fine_tuning(history, facts["seeds"][0] | {"monitor": "jaccard"}, given.task.key, folder / "curves.png")
    clear(given.work)
    others = {weights_name(seed): sha256_file(folder / weights_name(seed)) for seed in range(1, recipe.seeds)}
    settings_told = {"segmentation": recipe_values, "weights_of_seeds": others}
    return Fitted(weights_name(0), "upernet", settings_told, {"train_images": facts["train_images"], "seeds": facts["seeds"]})


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return Dice and Jaccard of each test image, means over the seeds, and those of each seed."""
    from panderm.imaging.masks import load_pairs, overlap

    test = given.rows.part("test")
    if test.empty:
        raise InputError(f"the test split of {given.task.key} has no image with a mask; deliver more and curate")
    networks, spec, device = _networks(given, model)
    images, masks = load_pairs(test, given.data, spec.size, f"evaluate {given.task.key}")
    measured = np.array(
        [[overlap(f, t) for f, t in zip(_found(n, images, spec, device), masks, strict=True)] for n in networks]
    ).astype(np.float32)  # (seeds, N, 2)
    frame = test.reset_index(drop=True).assign(dice=measured[..., 0].mean(axis=0), jaccard=measured[..., 1].mean(axis=0))
    frame["dice_by_seed"] = list(measured[..., 0].T)
    frame["jaccard_by_seed"] = list(measured[..., 1].T)
    return frame.sort_values("image_id", ignore_index=True)


def _networks(given: Given, model: Path) -> tuple[list[Any], Any, Any]:
    import torch
    from safetensors.torch import load_file

    from panderm.models.task_model import load_model_card
    from panderm.models.upernet import UperNet
    from panderm.training.segmentation import weights_name

    card = load_model_card(model)
    recipe = Recipe.parse(card.config["segmentation"], where="model.json")
    hashes = {card.weights: card.weights_sha256, **card.config["weights_of_seeds"]}
    gpu = given.compute.device == "cuda" or (given.compute.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if gpu else "cpu")
    networks = []
    for seed in range(recipe.seeds):
        path = model / weights_name(seed)
        if not path.is_file() or sha256_file(path) != hashes[path.name]:
            raise InputError(
                f"{path} is missing or not the file model.json describes; run `panderm finetune {card.task}` again"
            )
        network = UperNet(card.architecture, 2, recipe.channels or card.architecture.width, recipe.drop_path)
        network.load_state_dict(load_file(path))
        networks.append(network.to(device).eval())
    return networks, card.preprocessing, device


def _found(network: Any, images: NDArray[np.uint8], spec: Any, device: Any) -> NDArray[np.bool_]:
    from panderm.training.segmentation import predict_masks

    return predict_masks(network, images, spec, device)


def schema(task: Benchmark) -> pa.Schema:  # noqa: ARG001
    """Return the columns of the predictions table."""
    text, many = pa.string(), pa.list_(pa.float32())
    facts = [("age", pa.float64()), ("sex", text), ("site", text), ("skin_type", text)]
    scores = [("dice", pa.float32()), ("jaccard", pa.float32()), ("dice_by_seed", many), ("jaccard_by_seed", many)]
    return pa.schema([("image_id", text), ("group", text), *scores, *facts])


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
    """Write the worst, middling and best masks over their images, and how the figures spread."""
    from panderm.evaluation.mask_plots import draw_masks, draw_overlaps
    from panderm.imaging.masks import load_pairs

    ranked = predictions.sort_values(["jaccard", "image_id"], ignore_index=True)
    places = sorted({0, 1, len(ranked) // 2 - 1, len(ranked) // 2, len(ranked) - 2, len(ranked) - 1} & set(range(len(ranked))))
    chosen = ranked.iloc[places]
    test = given.rows.part("test").set_index("image_id").loc[chosen["image_id"]].reset_index()
    networks, spec, device = _networks(given, model)
    images, masks = load_pairs(test, given.data, spec.size, "pictures")
    found = _found(networks[0], images, spec, device)
    draw_masks(folder / "masks.png", images, masks, found, list(chosen["jaccard"]), given.task.key)
    draw_overlaps(folder / "overlap.png", predictions, given.task.key)


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:  # noqa: ARG001
    """Return the mean of each seed, and their mean with 1.96 standard errors over the seeds (paper's error bars)."""
    told: dict[str, Any] = {}
    for metric in ("dice", "jaccard"):
        means = np.stack(predictions[f"{metric}_by_seed"].to_list()).mean(axis=0, dtype=np.float64)
        error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None
        told[metric] = {"by_seed": [round(float(m), 6) for m in means], "mean": float(means.mean()), "standard_error": error}
    return {"seeds": told}
