"""``panderm ingest DATASET...``."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@settings_option
def command(datasets: tuple[str, ...], assignments: tuple[str, ...]) -> None:
    """Read deliveries safely into shards, a manifest and a quarantine table.

    DATASET is a source (`mym`; see `panderm sources`) or `benchmarks/TASK` (see `panderm tasks`); its delivery lies in
    landing/DATASET in its native layout. The result waits in .staging/DATASET for `panderm validate DATASET`.
    """
    from panderm import ingest
    from panderm.catalog import dataset

    layout = Layout.here()
    config = stage_config(ingest.Config, "ingest", layout, assignments)
    for row in [dataset(key) for key in datasets]:
        print_record(ingest.run(config, row, layout.landing(row.key), layout.staging(row.key)))
