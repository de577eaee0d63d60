"""``panderm compare TASK...``: this workspace's models against others on the same test images."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record
from panderm.core.layout import Layout


@click.command("compare")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option(
    "--against",
    multiple=True,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the other predictions are: an evaluation folder, a folder with TASK/evaluation, or a workspace (repeatable).",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Output folder [default: reports/comparison].")
@click.option(
    "--bootstrap",
    type=click.Choice(["clustered", "plain"]),
    default="clustered",
    show_default=True,
    help="Draw and exchange whole patients, or single images as the paper does.",
)
@click.option(
    "--interval",
    type=click.Choice(["studentised", "percentile"]),
    default="studentised",
    show_default=True,
    help="How intervals are made; percentile is the paper's, and too narrow with few patients (docs/statistics.md).",
)
@click.option("--replicates", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--permutations", type=click.IntRange(min=99), default=1000, show_default=True, help="Of the permutation test.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same figures.")
def command(
    tasks: tuple[str, ...],
    *,
    against: tuple[Path, ...],
    out: Path | None,
    bootstrap: str,
    interval: str,
    replicates: int,
    permutations: int,
    seed: int,
) -> None:
    """Is the model of each TASK better than another, on the same test split?

    Prints and writes the difference with its interval, a two-sided permutation test and a paired t-test, with Holm's
    adjustment over everything that is compared. Both sides come from `panderm evaluate`.
    """
    from typing import cast

    from panderm.catalog import benchmark
    from panderm.core.progress import progress
    from panderm.evaluation.bootstrap import Method, Unit
    from panderm.evaluation.comparison import Pair, as_markdown, compare_models, find_predictions, with_holm, write_comparison
    from panderm.evaluation.evidence import PREDICTIONS_NAME
    from panderm.evaluation.figures import Resampling

    layout = Layout.here()
    how = Resampling(replicates=replicates, seed=seed, unit=cast("Unit", bootstrap), method=cast("Method", interval))
    pairs = [
        Pair(task, name, layout.evaluation(task.key) / PREDICTIONS_NAME, find_predictions(folder, task))
        for task in map(benchmark, tasks)
        for name, folder in zip(_names(against, tasks), against, strict=True)
    ]
    frame = with_holm(compare_models(pair, how, permutations) for pair in progress(pairs, what="compare"))
    record = write_comparison(frame, how, permutations, out or layout.reports / "comparison")
    click.echo(as_markdown(frame, how, permutations))
    print_record(record)


def _names(folders: tuple[Path, ...], tasks: tuple[str, ...]) -> list[str]:
    """Return a short name of each folder: its last part that says something, numbered where two are alike."""
    plain = {"evaluation", "tasks", "artifacts", *tasks}
    ends = [next((part for part in reversed(folder.resolve().parts) if part not in plain), "other") for folder in folders]
    return [name if ends.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(ends, start=1)]
