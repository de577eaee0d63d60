"""``panderm report``: one HTML page of everything in the workspace."""

from __future__ import annotations

import click

from panderm.core.layout import Layout


@click.command()
def command() -> None:
    """Write reports/index.html and reports/benchmarks.md.

    The page has sources, corpus, pretraining, all 28 benchmarks, tasks with verdicts, releases; it opens offline. The
    table of the 28 stands alone as Markdown.
    """
    from panderm.reporting import write_report

    click.echo(f"report: {write_report(Layout.here())}")
