"""``panderm evaluate TASK...``: predictions, figures with intervals, pictures, a report."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option(
    "--champion",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the bundle to be compared with, for one TASK. [default: what triton_repo/ serves, if anything]",
)
@settings_option
def command(tasks: tuple[str, ...], champion: Path | None, assignments: tuple[str, ...]) -> None:
    """Judge the model of one or more tasks on the test split.

    Writes artifacts/tasks/TASK/evaluation: predictions, metrics with patient-clustered bootstrap intervals (overall, by
    class, by subgroup), pictures and report.json. `panderm gate TASK` turns that into a verdict.
    """
    from panderm import evaluate
    from panderm.catalog import benchmark
    from panderm.serving.repository import champion_bundle

    if champion is not None and len(tasks) > 1:
        raise click.UsageError(f"--champion is of one task, but {len(tasks)} are named; evaluate them one by one")
    layout = Layout.here()
    config = stage_config(evaluate.Config, "evaluate", layout, assignments)
    for task in [benchmark(key) for key in tasks]:
        record = evaluate.run(
            config,
            task,
            layout.split(task.key),
            layout.data,
            layout.pretrained,
            layout.model(task.key),
            layout.features,
            champion or champion_bundle(task.key, layout.triton_repo),
            layout.evaluation(task.key),
        )
        print_record(record)
