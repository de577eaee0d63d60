"""``panderm rollback TASK``: the former release serves again."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record
from panderm.core.layout import Layout


@click.command("rollback")
@click.argument("task")
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="Version to return to [default: the one before].")
@click.option(
    "--repository", type=click.Path(file_okay=False, path_type=Path), help="Triton model repository [default: triton_repo]."
)
@click.option(
    "--server", "url", default="", metavar="HOST:PORT", help="gRPC address of a Triton server elsewhere that must load it."
)
def command(task: str, to: int | None, repository: Path | None, url: str) -> None:
    """Return TASK to a former release, by the same one rename; a running server loads it at once.

    The version left is withdrawn: only `panderm rollback TASK --to N` brings it back, not another release of its bundle.
    """
    from panderm import release
    from panderm.catalog import benchmark

    print_record(release.rollback(benchmark(task), repository or Layout.here().triton_repo, to, url))
