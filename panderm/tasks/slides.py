"""Slides: one label for a whole slide, from its tiles by gated attention on frozen features (paper, Methods).

Five folds, stratified by case and label; every slide is judged by the classifier that has not seen its case. The model is
judged, not served: there is one a fold.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json
from panderm.curation.splits import fold_names
from panderm.evaluation.bootstrap import Statistic
from panderm.evaluation.kfold import mean_over_folds, told_by_fold
from panderm.tasks import diagnosis
from panderm.tasks.agreeing import SEVERAL, one_label
from panderm.tasks.folds import FOLDS_NAME, check_folds
from panderm.tasks.kinds import Counted, Fitted, Given, Prepared
from panderm.tasks.rows import SPLIT_NAME
from panderm.training.slides_recipe import SlidesRecipe as Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from panderm.evaluation.attention_plots import SlideView
    from panderm.models.abmil import GatedAttention

EXPORTED = False
COUNTED = Counted("slides", "cases")
_PLACE = ("x", "y")
class_score = diagnosis.class_score


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the labelled tiles that belong to a slide (``lesion_id``) of one label; folds balance what a case has slides of.

    Raises:
        InputError: no tile belongs to a slide, or every slide has two labels.
    """
    labelled = diagnosis.prepare(task, rows, masks)
    placed = labelled.rows[labelled.rows["lesion_id"].notna()]
    if placed.empty:
        raise InputError(f"{task.key}: none of its {len(labelled.rows)} images belongs to a slide; deliver slides and ingest")
    agrees, notes = one_label(task.key, placed, "slide")
    kept = placed[agrees]
    left_out = {"without_slide": len(labelled.rows) - len(placed), SEVERAL: len(placed) - len(kept)}
    of_case = kept.groupby("group")["label"].agg(lambda labels: " + ".join(sorted(set(labels))))
    kept = kept.assign(stratum=kept["group"].map(of_case), case=kept["lesion_id"])
    return Prepared(kept, labelled.left_out | left_out, notes)


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Train a classifier for each fold, in a process of its own.

    Raises:
        InputError: there are fewer than three folds, or the slides that one trains on have a single label.
    """
    from panderm.models.encoder import load_card
    from panderm.training.finetune_curves import draw_fine_tuning
    from panderm.training.kind_worker import Job, clear, train_apart
    from panderm.training.slides import Settings, weights_name

    check_folds(given.task)
    _check_labels(given)
    paths = {"split": given.split / SPLIT_NAME, "data": given.data, "encoder": given.encoder, "features": given.features}
    settings = Settings(
        recipe=recipe,
        classes=len(given.task.classes),
        folds=given.task.folds,
        feature_batch=given.compute.feature_batch,
        **{name: path.resolve() for name, path in paths.items()},
    )
    job = Job(
        module="slides",
        settings=settings.model_dump(mode="json"),
        work=given.work.resolve(),
        device=given.compute.device,
        threads=given.compute.threads,
    )
    recipe_values = recipe.model_dump(mode="json")
    identity = {"recipe": recipe_values, "split": given.rows.sha256, "encoder": load_card(given.encoder).sha256}
    final = train_apart(job, identity, given.say)
    facts = read_json(final / "final.json")
    names = [weights_name(fold) for fold in range(given.task.folds)]
    for name in names:
        shutil.copyfile(final / name, folder / name)
    write_json(folder / FOLDS_NAME, {name: sha256_file(folder / name) for name in names})
    history = [
        {"step": line["epoch"], "loss": line["loss"], "score": np.nan if line["val_loss"] is None else line["val_loss"]}
        for line in facts["folds"][0]["history"]
    ]
    what = {"epoch": facts["folds"][0]["epoch"], "monitor": "validation cross-entropy"}
    draw_fine_tuning(history, what, f"{given.task.key}, first fold", folder / "curves.png")
    clear(given.work)
    return Fitted(FOLDS_NAME, "abmil", {"slides": recipe_values}, facts)


def _check_labels(given: Given) -> None:
    """Refuse folds that train on slides of one label."""
    frame = given.rows.frame
    for fold in range(given.task.folds):
        labels = sorted(frame.loc[fold_names(frame, fold, given.task.folds) == "train", "label"].unique())
        if len(labels) < 2:
            raise InputError(
                f"{given.task.key}: fold {fold + 1} would train on slides of {labels[0] if labels else 'no label'} alone, but "
                "two labels are needed; deliver more cases and curate"
            )


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return a row a slide with its out-of-fold class probabilities.

    Raises:
        InputError: a fold's weights are missing or others than the model's.
    """
    from panderm.evaluation.tables import predictions_frame
    from panderm.training.bags import each_bag, slide_table
    from panderm.training.slides import judge

    slides = slide_table(given.rows.frame)
    networks = [_network(given, model, fold) for fold in range(given.task.folds)]
    answer = np.empty((len(slides), len(given.task.classes)), dtype=np.float32)
    for number, (tiles, bag) in enumerate(each_bag(given.rows.frame, _inputs(given), f"evaluate {given.task.key}")):
        answer[number] = judge(networks[int(tiles["fold"].iloc[0])], bag)[0]
    return predictions_frame(slides.assign(image_id=slides["slide"]), answer)


def _inputs(given: Given) -> Any:
    from panderm.training.bags import Inputs

    return Inputs(given.encoder, given.data, given.features, given.compute.feature_batch)


def _network(given: Given, model: Path, fold: int) -> GatedAttention:
    from safetensors.torch import load_file

    from panderm.models.task_model import load_model_card
    from panderm.training.slides import build, weights_name

    card = load_model_card(model)
    path = model / weights_name(fold)
    if not path.is_file() or sha256_file(path) != read_json(model / FOLDS_NAME).get(path.name):
        raise InputError(
            f"{path} is missing or not the file {FOLDS_NAME} describes; run `panderm finetune {given.task.key}` again"
        )
    recipe = Recipe.parse(card.config["slides"], where="model.json")
    network = build(recipe, card.architecture.width, len(card.classes))
    network.load_state_dict(load_file(path))
    return network


def schema(task: Benchmark) -> pa.Schema:
    """Return a classifier's columns, ``fold`` and ``tiles``; ``image_id`` is the slide."""
    return pa.schema([*diagnosis.schema(task), pa.field("fold", pa.int32()), pa.field("tiles", pa.int32())])


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return the mean over folds of the AUROC over slides, as the paper does."""
    return mean_over_folds(predictions, lambda part: diagnosis.primary(task, part))


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return every other figure of a classifier, and the AUROC over the slides of all folds together."""
    return {"auroc_pooled": diagnosis.primary(task, predictions), **diagnosis.score(task, predictions)}


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    """Write the classifier's pictures, and for some slides which tiles counted."""
    from panderm.evaluation.attention_plots import draw_attention

    diagnosis.draw(folder, given, model, predictions)
    shown = telling_slides(predictions)
    frame = given.rows.frame
    views = [view(given, model, frame[frame["lesion_id"] == slide]) for slide in shown["image_id"]]
    captions = [_caption(given.task, row) for row in shown.to_dict("records")]
    draw_attention(folder / "attention.png", views, captions, given.task.key)


def view(given: Given, model: Path, tiles: pd.DataFrame) -> SlideView:
    """Return a slide's tiles with the attention that its classifier pays them.

    Args:
        given: inputs.
        model: the model folder.
        tiles: rows of one slide.

    Raises:
        InputError: a tile does not say where on the slide it was.
    """
    from panderm.curation.duplicates import load_thumbnails
    from panderm.evaluation.attention_plots import SlideView
    from panderm.training.bags import each_bag
    from panderm.training.slides import judge

    ((rows, bag),) = each_bag(tiles, _inputs(given), "attention")
    attention = judge(_network(given, model, int(rows["fold"].iloc[0])), bag)[1]
    return SlideView(str(rows["lesion_id"].iloc[0]), places(rows), load_thumbnails(rows, given.data), attention)


def _caption(task: Benchmark, row: dict[Any, Any]) -> str:
    chance = row[f"p_{row['predicted']}"]
    return f"{row['image_id']}\n{row['label']}, called {task.classes[row['predicted']]} ({chance:.2f})"


def telling_slides(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return of each class the slide that is judged best and the one that is judged worst."""
    own = [row[f"p_{row['target']}"] for row in predictions.to_dict("records")]
    ranked = predictions.assign(own=own).sort_values(["target", "own", "image_id"], ascending=[True, False, True])
    place = ranked.groupby("target").cumcount()
    last = place == ranked.groupby("target")["target"].transform("size") - 1
    return ranked[(place == 0) | last].reset_index(drop=True)


def places(tiles: pd.DataFrame) -> NDArray[np.int64]:
    """Return the column and row (N, 2) of each tile on its slide's grid, from where the grid's first tile is.

    Raises:
        InputError: a tile does not say where on the slide it was.
    """
    from panderm.tasks.attributes import numbers

    told = numbers(tiles, (*_PLACE, "span"))
    if told.isna().any(axis=None):
        image = tiles.loc[told.isna().any(axis=1), "image_id"].iloc[0]
        raise InputError(f"image {image} does not say where on its slide it was (x, y, span); ingest its dataset again")
    grid = (told[list(_PLACE)].to_numpy() // told[["span"]].to_numpy()).astype(np.int64)
    from_first: NDArray[np.int64] = grid - grid.min(axis=0)
    return from_first


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the AUROC of each fold with the paper's interval over folds, how many tiles were read, and the confusion."""
    folds = told_by_fold(predictions, task.metric, lambda part: diagnosis.primary(task, part), task.folds)
    return {"folds": folds, "tiles": int(predictions["tiles"].sum()), **diagnosis.details(task, predictions)}
