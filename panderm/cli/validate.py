"""``panderm validate DATASET...``."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.errors import Refused
from panderm.core.layout import Layout


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...")
@settings_option
def command(datasets: tuple[str, ...], assignments: tuple[str, ...]) -> None:
    """Hold ingested deliveries against their contracts and publish what passed to data/.

    A delivery that breaks its contract stops only its own dataset: its last good version stays published, the others go
    on, and the command ends with exit code 3. The readable result is .staging/DATASET/contract.html.
    """
    from panderm import validate
    from panderm.catalog import dataset

    layout = Layout.here()
    config = stage_config(validate.Config, "validate", layout, assignments)
    refused: list[str] = []
    for row in [dataset(key) for key in datasets]:
        try:
            record = validate.run(config, row, layout.staging(row.key), layout.published(row.key))
            print_record(record)
            for warning in record.values["warnings"]:
                click.echo(f"  note: {warning}")
        except Refused as error:
            refused.append(str(error))
    if refused:
        raise Refused("; ".join(refused))
