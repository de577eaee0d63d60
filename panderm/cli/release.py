"""``panderm release TASK``: a bundle with a passing verdict becomes the next served version."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command("release")
@click.argument("task")
@click.option(
    "--bundle",
    type=click.Path(file_okay=False, path_type=Path),
    help="Export's output [default: artifacts/tasks/TASK/bundle].",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="Triton model repository [default: triton_repo]. A server that `panderm serve` started on it loads the release.",
)
@settings_option
def command(task: str, bundle: Path | None, repository: Path | None, assignments: tuple[str, ...]) -> None:
    """Release TASK's bundle as the next version, in one rename.

    Checks the bundle's files and its verdict once more; a bundle that is released already makes no new version.
    """
    from panderm import release
    from panderm.catalog import benchmark

    layout = Layout.here()
    config = stage_config(release.Config, "release", layout, assignments)
    row = benchmark(task)
    print_record(release.run(config, row, bundle or layout.bundle(task), repository or layout.triton_repo))
