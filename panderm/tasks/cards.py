"""The card of a fitted model, written from what ``fit`` says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from panderm.catalog import Benchmark
from panderm.core.files import sha256_file
from panderm.tasks.kinds import Fitted
from panderm.tasks.rows import Rows

if TYPE_CHECKING:
    from panderm.models.encoder import EncoderCard
    from panderm.models.task_model import ModelCard


def write_card(task: Benchmark, rows: Rows, encoder: EncoderCard, fitted: Fitted, folder: Path) -> ModelCard:
    """Write ``model.json`` beside the weights that ``fitted`` names, and return it."""
    from panderm.models.task_model import ModelCard, save_card

    card = ModelCard(
        task=task.key,
        protocol=fitted.protocol,
        classes=task.classes,
        preprocessing=encoder.preprocessing,
        architecture=encoder.architecture,
        relative_position_bias=fitted.relative_position_bias,
        encoder_sha256=encoder.sha256,
        weights=fitted.weights,
        weights_sha256=sha256_file(folder / fitted.weights),
        split_sha256=rows.sha256,
        config=fitted.settings,
        licence=encoder.licence,
    )
    save_card(folder, card)
    return card
