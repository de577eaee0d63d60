"""Change detection: has a lesion changed between two images (SDDI1, SDDI2; paper, Methods)?

A Siamese network a fold, trained without the patients it is asked about, on pairs that the image pipeline made comparable
(:mod:`panderm.imaging.sequential`). Judged, not served. One row a pair; docs/change_detection.md.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json
from panderm.evaluation.bootstrap import Statistic, auroc_statistic
from panderm.imaging.sequential.pairs import MALIGNANT_CHANGE, pairs_of, sequences
from panderm.tasks import diagnosis
from panderm.tasks.folds import FOLDS_NAME, check_folds
from panderm.tasks.kinds import Counted, Fitted, Given, Prepared
from panderm.tasks.rows import SPLIT_NAME
from panderm.training.change_recipe import ChangeRecipe as Recipe

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from panderm.imaging.sequential.cache import AlignedPairs
    from panderm.models.task_model import ModelCard

EXPORTED = False
COUNTED = Counted("pairs")
primary, class_score = diagnosis.primary, diagnosis.class_score
_SHOWN = 3  # pairs at either end of the picture


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:  # noqa: ARG001
    """Return the images of lesions that were seen twice or more; the others are counted."""
    found = sequences(rows, task.classes)
    if found.rows.empty:
        raise InputError(
            f"{task.key}: none of its {len(rows)} images makes a pair; deliver lesion_id, visit (a number or a date) and a "
            f"label ({', '.join(task.classes)}) of two images a lesion"
        )
    return Prepared(found.rows.assign(stratum=found.rows["label"]), found.left_out)


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Train a network for each fold, in a process of its own."""
    from panderm.models.encoder import load_card
    from panderm.training.change import Settings, weights_name
    from panderm.training.finetune_curves import draw_fine_tuning
    from panderm.training.kind_worker import Job, clear, train_apart

    check_folds(given.task)
    paths = {"split": given.split / SPLIT_NAME, "data": given.data, "encoder": given.encoder, "cache": _cache(given)}
    folds = given.task.folds
    settings = Settings(recipe=recipe, folds=folds, **{name: path.resolve() for name, path in paths.items()})
    job = Job(
        module="change",
        settings=settings.model_dump(mode="json"),
        work=given.work.resolve(),
        device=given.compute.device,
        threads=given.compute.threads,
    )
    told = recipe.model_dump(mode="json")
    identity = {"recipe": told, "folds": folds, "split": given.rows.sha256, "encoder": load_card(given.encoder).sha256}
    final = train_apart(job, identity, given.say)
    facts = read_json(final / "final.json")
    for fold in range(folds):
        shutil.copyfile(final / weights_name(fold), folder / weights_name(fold))
    write_json(folder / FOLDS_NAME, [sha256_file(folder / weights_name(fold)) for fold in range(folds)])
    draw_fine_tuning(_lines(facts["folds"][0]), facts["folds"][0] | {"monitor": "auroc"}, given.task.key, folder / "curves.png")
    clear(given.work)
    return Fitted(FOLDS_NAME, "siamese", {"change": told}, facts)


def _lines(fold: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"step": line["epoch"], "loss": line["loss"], "score": math.nan if line["score"] is None else line["score"]}
        for line in fold["history"]
    ]


def _cache(given: Given) -> Path:
    """Return where aligned pairs are kept: beside the features, for finetune and evaluate alike."""
    return given.features.parent / "aligned"


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return the probabilities of each pair, by the network that was trained without its patient."""
    from panderm.evaluation.tables import predictions_frame
    from panderm.models.task_model import load_model_card

    card = load_model_card(model)
    recipe = Recipe.parse(card.config["change"], where="model.json")
    pairs = pairs_of(given.rows.frame, recipe.pairing)
    if pairs["target"].nunique() < 2:
        raise InputError(
            f"the {len(pairs)} pairs of {given.task.key} are of {pairs['target'].nunique()} class, but two are needed; "
            "deliver changed and unchanged lesions and curate"
        )
    aligned = _aligned(given, pairs, recipe, card)
    frame = pairs.assign(
        first=pairs["first_image_id"],
        second=pairs["second_image_id"],
        registered=[one["registered"] for one in aligned.facts],
        agreeing=[one["agreeing"] for one in aligned.facts],
        difference=pixel_difference(aligned.pixels),
    )
    return predictions_frame(frame, _probabilities(given, model, card, recipe, pairs, aligned))


def pixel_difference(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how far the two images of each pair (P, 2, 3, S, S) are apart as the network sees them, 0..1."""
    apart = [np.abs(pair[0].astype(np.int16) - pair[1]).mean() / 255 for pair in pixels]
    return np.array(apart, dtype=np.float32)


def _aligned(given: Given, pairs: pd.DataFrame, recipe: Recipe, card: ModelCard) -> AlignedPairs:
    from panderm.imaging.sequential.cache import Wanted, aligned_pairs

    wanted = Wanted(recipe.pipeline, recipe.arm, card.preprocessing)
    return aligned_pairs(pairs, given.data, _cache(given), wanted, f"pairs {given.task.key}")


def _probabilities(
    given: Given, model: Path, card: ModelCard, recipe: Recipe, pairs: pd.DataFrame, aligned: AlignedPairs
) -> NDArray[np.float32]:
    from safetensors.torch import load_file

    from panderm.models.encoder import Encoder, load_encoder
    from panderm.training.change import build_network, pair_features, pair_probabilities, weights_name

    device = _device(given)
    seen: NDArray[Any] = aligned.pixels
    encoder = Encoder(card.architecture)
    if recipe.frozen_encoder:
        encoder, found = load_encoder(given.encoder)
        if found.sha256 != card.encoder_sha256:
            raise InputError(
                f"{model} stands on another encoder than the one in {given.encoder}; run `panderm finetune {card.task}` again"
            )
        seen = pair_features(encoder, aligned.pixels, card.preprocessing, device)
    answer = np.zeros((len(pairs), 2), dtype=np.float32)
    for fold, digest in enumerate(read_json(model / FOLDS_NAME)):
        path = model / weights_name(fold)
        if not path.is_file() or sha256_file(path) != digest:
            raise InputError(f"{path} is missing or not the file {FOLDS_NAME} names; run `panderm finetune {card.task}` again")
        mine = (pairs["fold"].astype(int) == fold).to_numpy()
        network: torch.nn.Module = build_network(recipe, encoder)
        network.load_state_dict(load_file(path))
        answer[mine] = pair_probabilities(network.to(device), seen[mine], card.preprocessing, device)
    return answer


def _device(given: Given) -> torch.device:
    import torch

    gpu = given.compute.device == "cuda" or (given.compute.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if gpu else "cpu")


def schema(task: Benchmark) -> pa.Schema:
    """Return a classifier's columns, fold and lesion, the two images, how they were registered, and ``malignant_change``."""
    more = [
        ("fold", pa.int32()),
        ("lesion_id", pa.string()),
        ("first", pa.string()),
        ("second", pa.string()),
        ("registered", pa.bool_()),
        ("agreeing", pa.int32()),  # points that agree on one movement
        ("difference", pa.float32()),  # of the two pictures, 0..1
        (MALIGNANT_CHANGE, pa.int32()),  # null where it was not delivered
    ]
    return pa.schema([*diagnosis.schema(task), *(pa.field(*column) for column in more)])


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return a classifier's further figures, and those of a change alone.

    ``auroc_pixel_difference`` is what the pipeline is worth without a network; ``auroc_malignant_change`` is over the pairs of
    which that was delivered.
    """
    figures = diagnosis.score(task, predictions)
    target = predictions["target"].to_numpy(dtype=np.intp)
    figures["auroc_pixel_difference"] = auroc_statistic(target, predictions["difference"].to_numpy(dtype=np.float64))
    known = predictions[MALIGNANT_CHANGE].notna().to_numpy()
    if known.any():
        malignant = auroc_statistic(
            predictions.loc[known, MALIGNANT_CHANGE].to_numpy(dtype=np.intp), predictions.loc[known, "p_1"].to_numpy(float)
        )
        figures["auroc_malignant_change"] = lambda weight: malignant(weight[known])
    return figures


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    """Write the classifier's pictures, and the pairs that were judged worst and best, as the network saw them."""
    from panderm.evaluation.pair_plots import draw_pairs
    from panderm.models.task_model import load_model_card

    diagnosis.draw(folder, given, model, predictions)
    card = load_model_card(model)
    recipe = Recipe.parse(card.config["change"], where="model.json")
    said = np.where(predictions["target"] == 1, predictions["p_1"], predictions["p_0"])  # of what is true
    ranked = predictions.assign(said=said).sort_values(["said", "image_id"], ignore_index=True)
    chosen = ranked.iloc[sorted({*range(min(_SHOWN, len(ranked))), *range(max(0, len(ranked) - _SHOWN), len(ranked))})]
    pairs = pairs_of(given.rows.frame, recipe.pairing).set_index("image_id", drop=False).loc[chosen["image_id"]]
    aligned = _aligned(given, pairs, recipe, card)
    draw_pairs(folder / "pairs.png", aligned.pixels, chosen, f"{given.task.key}, arm {recipe.arm}")


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the AUROC of each fold with the paper's interval over folds, and how many pairs could be registered."""
    from panderm.evaluation.kfold import kfold_interval

    by_fold = []
    for fold in range(task.folds):
        mine = predictions[predictions["fold"] == fold]
        value = primary(task, mine)(np.ones(len(mine))) if len(mine) else math.nan
        by_fold.append(None if math.isnan(value) else float(value))
    known = [value for value in by_fold if value is not None]
    told: dict[str, Any] = {task.metric: by_fold}
    if len(known) > 1:
        over = kfold_interval(known)
        told |= {"mean": over.mean, "low": over.low, "high": over.high}
    pairs = {"pairs": len(predictions), "registered": int(predictions["registered"].sum())}
    return {"folds": told, "pairs": pairs, **diagnosis.details(task, predictions)}
