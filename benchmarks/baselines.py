"""Hold the pretrained encoder against two baselines on the tasks' own splits.

``panderm pretrain`` must have run in the workspace. ``python benchmarks/baselines.py ham10000 pad_ufes`` prints a table a
task (the curated tasks, where none is named) and writes ``reports/baselines/TASK.json`` and ``.md``. The probes are fitted
as ``finetune.linear_probe`` of params.yaml says, both alike; the histograms' strength is chosen on the validation split.
"""

from __future__ import annotations

import sys

from panderm import finetune
from panderm.catalog import benchmark, runnable_benchmarks
from panderm.cli.common import stage_config
from panderm.core.errors import PanDermError
from panderm.core.layout import Layout
from panderm.evaluation.baselines import as_markdown, compare


def main() -> None:
    """Compare on the named tasks."""
    layout = Layout.here()
    curated = [row.key for row in runnable_benchmarks() if (layout.split(row.key) / "split.parquet").is_file()]
    keys = sys.argv[1:] or curated
    if not keys:
        sys.exit(f"{layout.artifacts / 'splits'} holds no task; run `panderm curate` first")
    try:
        config = stage_config(finetune.Config, "finetune", layout)
        for task in [benchmark(key) for key in keys]:
            folders = (layout.split(task.key), layout.data, layout.pretrained, layout.features)
            recipe = config.of_task(task.key).linear_probe
            print(as_markdown(compare(task, *folders, layout.reports / "baselines", recipe=recipe)))
    except PanDermError as error:
        sys.exit(f"baselines: {error}")


if __name__ == "__main__":
    main()
