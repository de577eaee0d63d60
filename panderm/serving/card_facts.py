"""What a model card tells, read from the files that export is given; nothing is computed that a stage has not written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from panderm.catalog import Benchmark
from panderm.core.files import read_json
from panderm.core.layout import benchmark_dataset
from panderm.core.record import RECORD_NAME, Record
from panderm.core.tables import SPLIT, empty, read_table
from panderm.core.terms import Input
from panderm.evaluation.evidence import REPORT_NAME
from panderm.evaluation.tables import METRICS
from panderm.evaluation.verdict import Verdict

if TYPE_CHECKING:
    from panderm.models.encoder import EncoderCard
    from panderm.models.task_model import ModelCard
    from panderm.serving.bundle import Bundle


class CardFacts(NamedTuple):
    """Everything that the card of a task's model quotes.

    Attributes:
        task: the benchmark.
        bundle: what export made.
        model: the task model's card.
        encoder: its encoder's card; None where a fine-tuned network came without its encoder.
        report: evaluate's report.
        figures: evaluate's figures, columns of ``METRICS``; no rows where it wrote none.
        verdict: gate's verdict.
        rows: the split, columns of ``SPLIT``.
        split: curate's record of the split; None without one.
        published: the record of the task's published images; None without one.
    """

    task: Benchmark
    bundle: Bundle
    model: ModelCard
    encoder: EncoderCard | None
    report: dict[str, Any]
    figures: pd.DataFrame
    verdict: Verdict
    rows: pd.DataFrame
    split: Record | None
    published: Record | None

    @property
    def test(self) -> pd.DataFrame:
        """The rows that the model was judged on."""
        return self.rows[self.rows["split"] == "test"]

    @property
    def dataset(self) -> str:
        """Key of the task's own images."""
        return benchmark_dataset(self.task.key)

    @property
    def synthetic(self) -> tuple[Input, ...]:
        """The inputs that a program drew."""
        return tuple(one for one in self.bundle.inputs if one.synthetic)


def gather_facts(
    task: Benchmark, bundle: Bundle, verdict: Verdict, split: Path, data: Path, model: Path, encoder: Path, evaluation: Path
) -> CardFacts:
    """Read what the card tells; arguments as of ``panderm.export.run``.

    Raises:
        InputError: a file is missing or damaged.
    """
    from panderm.models.encoder import CARD_NAME, load_card
    from panderm.models.task_model import load_model_card

    card, metrics = load_model_card(model), evaluation / "metrics.parquet"
    body = load_card(encoder) if (encoder / CARD_NAME).is_file() else None
    return CardFacts(
        task=task,
        bundle=bundle,
        model=card,
        encoder=body if body is not None and body.sha256 == card.encoder_sha256 else None,
        report=read_json(evaluation / REPORT_NAME),
        figures=read_table(metrics, METRICS) if metrics.is_file() else empty(METRICS),
        verdict=verdict,
        rows=read_table(split / "split.parquet", SPLIT),
        split=_record(split),
        published=_record(data / benchmark_dataset(task.key)),
    )


def _record(folder: Path) -> Record | None:
    return Record.load(folder) if (folder / RECORD_NAME).is_file() else None
