"""``panderm reader-study 1|2|3|example``: from an answers table to comparisons, tests and pictures."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record

_ABOUT = {
    1: "early melanoma: the first image of each sequence that is called malignant, model against readers",
    2: "seven diagnoses without and with support: over readers, by experience, by class",
    3: "128 conditions without and with support: score, top-3, confidence, changed diagnoses",
}


@click.group("reader-study")
def command() -> None:
    """Compute the paper's reader studies from an answers table (docs/reader_studies.md has the columns).

    `panderm reader-study example 2 --out answers.csv` writes a made-up table to try it with.
    """


def _study(number: int) -> click.Command:
    @click.option(
        "--answers",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="One row an answer, CSV or parquet.",
    )
    @click.option(
        "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the results, replaced whole."
    )
    @click.option(
        "--replicates", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the bootstrap over readers."
    )
    @click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same figures.")
    def run(answers: Path, out: Path, replicates: int, seed: int, model: Path | None = None, threshold: float = 0.5) -> None:
        from panderm.reader_studies.effects import Resampling
        from panderm.reader_studies.write import run_study

        record = run_study(number, answers, out, Resampling(replicates=replicates, seed=seed), model, threshold)
        print_record(record)
        click.echo((out / "report.md").read_text())

    if number == 1:
        run = click.option(
            "--model",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The model's sequence, time_point, probability, label, if the answers hold no model's rows.",
        )(run)
        run = click.option(
            "--threshold",
            type=click.FloatRange(0, 1),
            default=0.5,
            show_default=True,
            help="Malignant from this probability on.",
        )(run)
    return click.command(str(number), help=f"Study {number}: {_ABOUT[number]}.", short_help=_ABOUT[number])(run)


for _number in _ABOUT:
    command.add_command(_study(_number))


@command.command("example")
@click.argument("study", type=click.Choice(["1", "2", "3"]))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The CSV to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes.")
def _example(study: str, out: Path, seed: int) -> None:
    """Write made-up answers of STUDY in the size of the paper's design; each row is marked synthetic."""
    from panderm.reader_studies.example import write_example

    click.echo(f"{write_example(int(study), out, seed)} synthetic answers of study {study}: {out}")
