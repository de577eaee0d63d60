"""``panderm pretrain``: the corpus in, an encoder out."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.option(
    "--preset",
    type=click.Choice(["tiny", "small", "base", "large"]),
    help="tiny: a minute on two cores, for trying out; small: a few thousand images on a CPU; base: CAE v2 base; "
    "large: the paper's run, for several GPUs. [default: params.yaml]",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Throw away an interrupted run with other settings; train again even if the output is complete.",
)
@click.option(
    "--status-when-stopped",
    type=click.IntRange(0, 125),
    default=0,
    show_default=True,
    help="Exit status after SIGTERM with the state saved. A scheduler that starts again only what failed (Kubernetes, a Slurm "
    "script that requeues) needs another one, e.g. 75.",
)
@settings_option
def command(preset: str | None, restart: bool, status_when_stopped: int, assignments: tuple[str, ...]) -> None:
    """Train the encoder on artifacts/corpus; write artifacts/pretrain.

    Runs in processes of its own (torchrun). Interrupt it or kill it: the same command goes on where it was. Parts of the
    recipe are set below overrides, e.g. `--set overrides.optimisation.epochs=20 --set processes=4`. On several machines
    run the same command on each (docs/cluster.md).
    """
    from panderm import pretrain
    from panderm.training.launch import TrainingStopped

    layout = Layout.here()
    named = (*((f"preset={preset}",) if preset else ()), *(("restart=true",) if restart else ()))
    config = stage_config(pretrain.Config, "pretrain", layout, (*named, *assignments))
    try:
        if config.place().first:
            folders = (layout.corpus, layout.data, layout.pretrained, layout.work)
            print_record(pretrain.run(config, *folders, on_line=click.echo, splits=layout.splits))
        else:
            pretrain.join(config, layout.corpus, layout.pretrained, layout.work, on_line=click.echo)
    except TrainingStopped as stop:
        click.echo(f"panderm: {stop}", err=True)
        raise SystemExit(status_when_stopped) from stop  # click would turn its own Exit into a return value
