"""``panderm finetune TASK...``: encoder + task -> task model."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config, stopping_in_order
from panderm.core.layout import Layout


@click.command()
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option(
    "--protocol",
    type=click.Choice(["linear_probe", "fine_tuning"]),
    help="linear_probe: a linear head on frozen features, seconds to minutes; fine_tuning: the whole network, in processes "
    "of its own. [default: params.yaml, else the paper's choice for the task, see `panderm tasks`]",
)
@settings_option
def command(tasks: tuple[str, ...], protocol: str | None, assignments: tuple[str, ...]) -> None:
    """Fit the model of one or more tasks on artifacts/pretrain.

    Reads artifacts/splits/TASK and the published images; writes artifacts/tasks/TASK/model. Features are computed once for
    each image and encoder. A fine-tuning that was killed goes on from its last finished epoch with the same command. Parts
    of the recipes are set like `--set fine_tuning.epochs=20` or `--set linear_probe.penalty=tuned`.
    """
    with stopping_in_order():
        _run(tasks, protocol, assignments)


def _run(tasks: tuple[str, ...], protocol: str | None, assignments: tuple[str, ...]) -> None:
    from panderm import finetune
    from panderm.catalog import benchmark

    layout = Layout.here()
    named = (f"protocol={protocol}",) if protocol else ()
    config = stage_config(finetune.Config, "finetune", layout, (*named, *assignments))
    for task in [benchmark(key) for key in tasks]:
        record = finetune.run(
            config,
            task,
            layout.split(task.key),
            layout.data,
            layout.pretrained,
            layout.features,
            layout.model(task.key),
            on_line=click.echo,
        )
        print_record(record)
