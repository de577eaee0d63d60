"""``panderm pretrain``: the corpus in, an encoder out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from panderm.cli.common import print_record, settings_option, stage_config, stopping_in_order
from panderm.core.layout import Layout

if TYPE_CHECKING:
    from panderm.pretrain import Config


@click.command()
@click.option(
    "--preset",
    type=click.Choice(["tiny", "small", "base", "large"]),
    help="tiny: a minute on two cores, for trying out; small: a few thousand images on a CPU; base: CAE v2 base; "
    "large: the paper's run, for several GPUs. [default: params.yaml]",
)
@click.option(
    "--proceed",
    is_flag=True,
    help="Go on from the state of an interrupted run with other settings (learning rate, epochs, augmentation, ...) under the "
    "present ones; the record says what was changed, and after which step.",
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
@click.option(
    "--dry-run",
    is_flag=True,
    help="Take a few real steps, keep nothing, and say what the whole training will take: hours, GPU-hours, energy, storage.",
)
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Steps that a dry run measures.")
@click.option(
    "--watts",
    type=click.FloatRange(min=0),
    default=0,
    help="Draw of all machines together, for a dry run's energy. [default: what the GPUs tell, or an assumption it states]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a dry run's estimate as JSON on stdout, progress on stderr.")
@settings_option
def command(
    preset: str | None,
    proceed: bool,
    restart: bool,
    status_when_stopped: int,
    dry_run: bool,
    steps: int,
    watts: float,
    as_json: bool,
    assignments: tuple[str, ...],
) -> None:
    """Train the encoder on artifacts/corpus; write artifacts/pretrain.

    Runs in processes of its own (torchrun). Interrupt it or kill it: the same command goes on where it was. Parts of the
    recipe are set below overrides, e.g. `--set overrides.optimisation.epochs=20 --set processes=4`. On several machines
    run the same command on each (docs/cluster.md).
    """
    flags = {"proceed=true": proceed, "restart=true": restart}
    named = (*((f"preset={preset}",) if preset else ()), *(name for name, given in flags.items() if given))
    with stopping_in_order(status_when_stopped):
        from panderm import pretrain

        layout = Layout.here()
        config = stage_config(pretrain.Config, "pretrain", layout, (*named, *assignments))
        if dry_run:
            _estimate(config, layout, steps, watts, as_json)
        else:
            _run(config, layout)


def _run(config: Config, layout: Layout) -> None:
    from panderm import pretrain

    if config.place().first:
        folders = (layout.corpus, layout.data, layout.pretrained, layout.work)
        print_record(pretrain.run(config, *folders, on_line=click.echo, splits=layout.splits))
    else:
        pretrain.join(config, layout.corpus, layout.pretrained, layout.work, on_line=click.echo)


def _estimate(config: Config, layout: Layout, steps: int, watts: float, as_json: bool) -> None:
    from panderm import pretrain
    from panderm.training.estimate import lines

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    found = pretrain.dry_run(config, layout.corpus, layout.data, layout.work, steps, watts, on_line=say)
    click.echo(found.model_dump_json(indent=2) if as_json else "\n".join(lines(found)))
