"""``panderm sources``: the 11 pretraining sources as a table."""

from __future__ import annotations

import click

from panderm.cli.tables import format_option, print_rows


@click.command()
@format_option
def command(form: str) -> None:
    """Print the 11 pretraining sources, with the paper's words and figures as published.

    `reader` names the native layout, `patient_namespace` the cohort: sources that share it share their patients.
    """
    from panderm.catalog import SOURCES

    print_rows([row.model_dump(mode="json") for row in SOURCES], form)
