"""``panderm report``: one HTML page of everything in the workspace."""

from __future__ import annotations

import click

from panderm.core.layout import Layout


@click.command()
def command() -> None:
    """Write reports/index.html: sources, corpus, pretraining, tasks with verdicts, releases. It opens offline."""
    from panderm.reporting import write_report

    click.echo(f"report: {write_report(Layout.here())}")
