"""The card of a fitted model, written from what ``fit`` says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from panderm.catalog import Benchmark
from panderm.catalog.terms import IMAGE_LICENCE, dataset_inputs
from panderm.core.files import sha256_file
from panderm.core.layout import benchmark_dataset
from panderm.core.terms import joined
from panderm.tasks.attributes import attributes
from panderm.tasks.kinds import Fitted
from panderm.tasks.rows import Rows

if TYPE_CHECKING:
    from panderm.models.encoder import EncoderCard
    from panderm.models.task_model import ModelCard


def write_card(
    task: Benchmark, rows: Rows, encoder: EncoderCard, fitted: Fitted, folder: Path, data: Path | None = None
) -> ModelCard:
    """Write ``model.json`` beside the weights that ``fitted`` names, and return it.

    Args:
        task: the benchmark.
        rows: its split.
        encoder: what the model stands on or started from.
        fitted: what ``fit`` left in the folder.
        folder: the model folder.
        data: the published datasets, which say under which terms the task's own data are; None takes the catalogue's word.
    """
    from panderm.models.task_model import ModelCard, save_card

    card = ModelCard(
        task=task.key,
        protocol=fitted.protocol,
        classes=task.classes,
        preprocessing=fitted.preprocessing or encoder.preprocessing,
        architecture=encoder.architecture,
        relative_position_bias=fitted.relative_position_bias,
        encoder_sha256=encoder.sha256,
        weights=fitted.weights,
        weights_sha256=sha256_file(folder / fitted.weights),
        split_sha256=rows.sha256,
        config=fitted.settings,
        licence=encoder.licence,
        inputs=joined(encoder.made_from, dataset_inputs(benchmark_dataset(task.key), data, _licences(task, rows))),
    )
    save_card(folder, card)
    return card


def _licences(task: Benchmark, rows: Rows) -> list[str | None]:
    """Return what each image that the model has seen says of its terms: all but the test split's; judged out of fold, all's."""
    seen = rows.frame if task.folds else rows.frame[rows.frame["split"] != "test"]
    said = attributes(seen, [IMAGE_LICENCE])[IMAGE_LICENCE]
    return [str(terms) if pd.notna(terms) else None for terms in said]
