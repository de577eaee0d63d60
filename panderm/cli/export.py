"""``panderm export TASK``: a passed verdict becomes ONNX with measured parity."""

from __future__ import annotations

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command("export")
@click.argument("task")
@settings_option
def command(task: str, assignments: tuple[str, ...]) -> None:
    """Write TASK's model as ONNX graphs into artifacts/tasks/TASK/bundle/.

    Refuses unless the verdict passed for exactly the model, split, preprocessing and report that lie there now, and unless
    ONNX Runtime answers as torch does.
    """
    from panderm import export
    from panderm.catalog import benchmark

    layout = Layout.here()
    config = stage_config(export.Config, "export", layout, assignments)
    row = benchmark(task)
    record = export.run(
        config,
        row,
        layout.split(task),
        layout.data,
        layout.model(task),
        layout.pretrained,
        layout.evaluation(task),
        layout.verdict(task),
        layout.work,
        layout.bundle(task),
    )
    print_record(record)
