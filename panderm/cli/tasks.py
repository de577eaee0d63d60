"""``panderm tasks``: the 28 benchmarks as a table."""

from __future__ import annotations

import click

from panderm.cli.tables import format_option, print_rows


@click.command()
@format_option
@click.option("--runnable", is_flag=True, help="Only those that this version can run.")
def command(form: str, runnable: bool) -> None:
    """Print the 28 benchmarks in the paper's order and which of them this version runs.

    Columns that end in `_stated` are the paper's; `metric` and `protocol` are what a run uses.
    """
    from panderm.catalog import BENCHMARKS

    rows = []
    for row in BENCHMARKS:
        if runnable and not row.runnable:
            continue
        values = row.model_dump(mode="json")
        if not row.runnable:
            values |= {"metric": "", "protocol": ""}  # nothing runs, so nothing is chosen
        rows.append(
            {"number": values.pop("number"), "key": values.pop("key"), "runs": "yes" if row.runnable else "not yet"} | values
        )
    print_rows(rows, form)
