"""The stages in their order, stated once; the command line, Dagster, DVC and the docs call this table.

A stage is the module ``panderm/<name>.py`` with a frozen ``Config``, a ``run`` function and a record of what it made.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Scope = Literal["dataset", "task", "once"]


class Stage(NamedTuple):
    """One arrow of the pipeline.

    Attributes:
        name: module and command name.
        scope: what one run is keyed by.
        makes: one line for ``--help`` and the docs.
    """

    name: str
    scope: Scope
    makes: str


STAGES: tuple[Stage, ...] = (
    Stage("ingest", "dataset", "read a delivery safely into shards, a manifest and a quarantine table"),
    Stage("validate", "dataset", "hold the manifest against its contract and publish what passed"),
    Stage("curate", "once", "splits, duplicates, and a pretraining corpus free of benchmark images"),
    Stage("pretrain", "once", "masked latent modelling with CLIP alignment: the encoder"),
    Stage("finetune", "task", "a linear head on frozen features, or a fully fine-tuned network"),
    Stage("evaluate", "task", "predictions on the test split, metrics with clustered intervals, pictures"),
    Stage("gate", "task", "a verdict: pass, fail or insufficient evidence, bound to the checkpoint's hash"),
    Stage("export", "task", "ONNX with the normalisation inside and measured parity"),
    Stage("release", "task", "the next version in the Triton model repository, in one rename"),
)
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)
