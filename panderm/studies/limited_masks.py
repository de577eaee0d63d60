"""The masks' part of label efficiency: UperNet trained on shares of the masks, a network a draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from panderm.evaluation.figures import interval_of
from panderm.models.encoder import load_card
from panderm.studies.points import Given, Point
from panderm.tasks import kinds, segmentation
from panderm.tasks.cards import write_card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from panderm.tasks.rows import Rows
    from panderm.training.segmentation_recipe import SegmentationRecipe


def points_of_share(given: Given, rows: Rows, share: float, draws: int) -> Iterator[Point]:
    """Yield the mean Jaccard index of each draw of a share, on the whole test split.

    Draw k trains with seed k on whole groups that it draws for itself; of all masks draws differ in the training alone. A share
    that was trained under the same settings is taken as it is, and one that was interrupted goes on.

    Raises:
        InputError: a split has no masks.
        TrainingFailed: the training ended before its last epoch; the same command goes on.
    """
    recipe = given.finetune.segmentation.model_copy(update={"fraction": share, "seeds": draws})
    compute = kinds.Compute.parse(given.finetune.model_dump(include=set(kinds.Compute.model_fields)), where="label_efficiency")
    layout, task = given.layout, given.task
    home = layout.work / "studies" / "label_efficiency" / task.key / f"{100 * share:g}-percent"
    folders = (layout.split(task.key), layout.data, layout.pretrained, layout.features, home / "training")
    inside = kinds.Given(task, rows, *folders, compute, given.say)
    predictions = segmentation.predict(inside, _model(inside, recipe, home / "model"))
    by_draw = np.stack(predictions["jaccard_by_seed"].to_list())  # (N, draws)
    for draw, groups in enumerate(_groups(rows.part("train"), share, draws)):
        low = high = float("nan")
        if share == 1:
            alone = predictions.assign(jaccard=by_draw[:, draw])
            low, high = interval_of(segmentation.primary(task, alone), alone, given.how)[1:3]
        value = float(by_draw[:, draw].mean(dtype=np.float64))
        name = f"{share:.0%}, draw {draw + 1}"
        yield Point("single draws", name, share, task.metric, value, low, high, *groups)


def _groups(train: pd.DataFrame, share: float, draws: int) -> Iterator[tuple[int, int]]:
    """Yield how many images and groups each draw trains on."""
    from panderm.training.segmentation import subset

    for draw in range(draws):
        used = train.iloc[subset(train, share, draw)]
        yield len(used), int(used["group"].nunique())


def _model(given: kinds.Given, recipe: SegmentationRecipe, model: Path) -> Path:
    from panderm.models.task_model import MODEL_NAME, load_model_card

    encoder = load_card(given.encoder)
    if (model / MODEL_NAME).is_file():
        card = load_model_card(model)
        same = card.config.get("segmentation") == recipe.model_dump(mode="json")
        if same and (card.encoder_sha256, card.split_sha256) == (encoder.sha256, given.rows.sha256):
            given.say(f"share {recipe.fraction:.0%} is trained already")
            return model
    model.mkdir(parents=True, exist_ok=True)
    given.say(f"share {recipe.fraction:.0%}, {recipe.seeds} draws")
    write_card(given.task, given.rows, encoder, segmentation.fit(recipe, given, model), model)
    return model
