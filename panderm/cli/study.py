"""``panderm study NAME [TASK...]``: questions that take more than one run of a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from panderm.cli.common import print_record
from panderm.core.layout import Layout

if TYPE_CHECKING:
    from panderm.core.config import FrozenConfig


@click.command("study")
@click.argument("name")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the study, e.g. `--set draws=10`, over params.yaml's section `studies`.",
)
@click.option("--replicates", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option(
    "--pretrain",
    "pretraining",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of modalities and corpus_size: a setting of every pretraining, e.g. `--pretrain preset=small`, over params.yaml.",
)
def command(
    name: str, tasks: tuple[str, ...], assignments: tuple[str, ...], replicates: int, pretraining: tuple[str, ...]
) -> None:
    """Run the study NAME for each TASK [default: all that have what it needs].

    Of one task each: label_efficiency, degradation, subgroups, external, protocols. Each writes a table (points.parquet and
    .md), a picture and a record to artifacts/studies/NAME/TASK. Models are fitted with the settings of finetune in params.yaml.

    Of encoders: modalities (one without each modality) and corpus_size (one a share of the corpus) pretrain an encoder an arm
    and probe it on every TASK; finished arms are kept, interrupted ones go on. docs/studies.md says what each asks.
    """
    from panderm.core.errors import ConfigError
    from panderm.studies.names import ENCODER_STUDIES
    from panderm.studies.running import study_config

    layout = Layout.here()
    if name in ENCODER_STUDIES:
        _of_encoders(name, tasks, layout, (assignments, pretraining))
        return
    if pretraining:
        raise ConfigError(f"--pretrain is for {' and '.join(ENCODER_STUDIES)}, which train encoders; study {name} trains none")
    _of_tasks(name, study_config(name, layout, assignments), tasks, layout, replicates)


def _of_tasks(name: str, config: FrozenConfig, tasks: tuple[str, ...], layout: Layout, replicates: int) -> None:
    from panderm.catalog import benchmark
    from panderm.core.errors import InputError
    from panderm.studies.running import fitting_tasks, given_for, run_study

    chosen = [benchmark(key) for key in tasks] or fitting_tasks(name, layout)
    if not chosen:
        raise InputError(f"no task has what study {name} needs; deliver one, and run its stages up to `panderm evaluate` first")
    for task in chosen:
        print_record(run_study(name, config, given_for(task, layout, click.echo, replicates)))
        click.echo(f"  {layout.study(name) / task.key / f'{name}.md'}")


def _of_encoders(name: str, tasks: tuple[str, ...], layout: Layout, settings: tuple[tuple[str, ...], ...]) -> None:
    from panderm.studies import encoders
    from panderm.studies.running import encoder_plan, study_config

    config = study_config(name, layout, settings[0])
    if tasks:
        config = config.model_copy(update={"tasks": tasks})
    folders = encoders.folders_of(name, layout)
    encoders.run(encoder_plan(name, config, layout, settings[1]), folders, click.echo)
    click.echo((folders.out / f"{name}.md").read_text())
