"""``panderm gate``: the verdict on a task model."""

from __future__ import annotations

import click

from panderm.cli.common import settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.argument("task")
@settings_option
def command(task: str, assignments: tuple[str, ...]) -> None:
    """Judge TASK's model: pass, fail or insufficient evidence, with the reasons in words.

    Exits 0 whatever the verdict is, because the verdict is what the stage makes; only a pass is exported. Exits 3 when
    model, report and predictions do not belong together, so that there is nothing to judge.
    """
    from panderm import gate
    from panderm.catalog import benchmark
    from panderm.evaluation.verdict import describe, load_verdict

    layout, row = Layout.here(), benchmark(task)
    config = stage_config(gate.Config, "gate", layout, assignments)
    gate.run(config, row, layout.evaluation(task), layout.model(task), layout.verdict(task))
    click.echo(describe(load_verdict(layout.verdict(task))), nl=False)
