"""``panderm curate``: splits, duplicates, corpus."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@settings_option
def command(assignments: tuple[str, ...]) -> None:
    """Deal each task's images into train, val and test, and choose the pretraining corpus.

    Reads every manifest published below data/. Writes artifacts/splits/TASK/ (no patient, lesion or duplicate on two
    sides) and artifacts/corpus/ (no benchmark image in any form, each picture once; exclusions.parquet says why an
    image is not in it).
    """
    from panderm import curate

    layout = Layout.here()
    config = stage_config(curate.Config, "curate", layout, assignments)
    record = curate.run(config, layout.data, layout.corpus, layout.artifacts / "splits")
    print_record(record)
    for task, counts in record.values["splits"].items():
        click.echo(f"  split {task}: " + ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test")))
    for task, warnings in record.values["warnings"].items():
        for warning in warnings:
            click.echo(f"  note, {task}: {warning}")
    for sentence in record.values["refused"].values():
        click.echo(f"  refused, {sentence}")
