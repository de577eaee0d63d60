"""``panderm teachers``: which teacher to pretrain with."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="'SOURCE [KEY=VALUE ...]'",
    help="A teacher, at least two of them: `random`, `MODEL@TAG` of open_clip, `hf-hub:ORG/REPO`, `local-dir:FOLDER`, or "
    "'MODEL weights=FILE'. Further settings follow in the same quotes, e.g. 'random random.seed=1'. The teacher's input size "
    "follows from the student's grid.",
)
@click.option(
    "--preset",
    type=click.Choice(["tiny", "small", "base", "large"]),
    help="Of every run. [default: params.yaml]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Of every run. [default: a tenth of the preset's, at least two: enough to rank, not to release]",
)
@click.option("--task", "tasks", multiple=True, help="Probe this task (repeatable). [default: all with one label an image]")
@click.option("--images", type=click.IntRange(min=30), default=1500, show_default=True, help="Labelled images of each task.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="[default: artifacts/studies/teachers]")
@settings_option
def command(
    teachers: tuple[str, ...],
    preset: str | None,
    epochs: int | None,
    tasks: tuple[str, ...],
    images: int,
    out: Path | None,
    assignments: tuple[str, ...],
) -> None:
    """Pretrain one encoder a teacher on artifacts/corpus, all else equal, and compare them.

    Encoders are judged on training and validation images of artifacts/splits, never on a test image. Settings are those of
    pretrain in params.yaml; `--set` changes one for all runs. Finished runs are kept and interrupted ones go on, so the same
    command with one more teacher only trains that one.
    """
    from panderm import pretrain
    from panderm.studies import teachers as study
    from panderm.studies.encoders import folders_of

    layout = Layout.here()
    training = stage_config(pretrain.Config, "pretrain", layout, (*((f"preset={preset}",) if preset else ()), *assignments))
    config = study.Config.parse(
        {"teachers": teachers, "epochs": epochs or 0, "images": images, "tasks": tasks or None}, where="the comparison"
    )
    folders = folders_of(study.STUDY, layout)
    target = out or folders.out
    folders = folders._replace(out=target)
    study.run(config, training, folders, on_line=click.echo)
    click.echo((target / "teachers.md").read_text())
