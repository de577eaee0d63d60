"""``panderm checkpoint inspect|import|export``: weights that were made elsewhere, in and out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def command() -> None:
    """Read official PanDerm, CAE v2, timm and open_clip weights; write them back.

    Nothing in a file is run, no key is dropped in silence, and weights stay on this machine: the official ones are under
    CC BY-NC-ND 4.0 and may not be passed on converted.
    """


def _options(function: F) -> F:
    """Add what a file does not say itself; the same for inspect and import."""
    for option in (
        click.option(
            "--licence", default="", help="Terms of the weights [default: the layout's, CC-BY-NC-ND-4.0 if official]."
        ),
        click.option(
            "--pixels",
            type=click.Choice(["official", "imagenet", "clip", "half"]),
            help="Mean and deviation the weights expect [default: the layout's: official (0.228 for red), imagenet, clip].",
        ),
        click.option(
            "--activation",
            type=click.Choice(["auto", "gelu", "quick_gelu"]),
            default="auto",
            show_default=True,
            help="Of CLIP towers' MLPs; auto takes quick_gelu for OpenAI's own files.",
        ),
        click.option(
            "--positions",
            type=click.Choice(["keep", "sincos"]),
            default="keep",
            show_default=True,
            help="timm and open_clip: keep the learnt table, or put the recipe's in its place; frozen either way.",
        ),
        click.option(
            "--image-size", default=0, help="timm and open_clip: resize the table to this input [default: the file's]."
        ),
        click.option("--regressor-heads", default=0, help="Of the regressor [default: read from its query weight]."),
        click.option("--heads", default=0, help="Of the encoder [default: what its width usually has; no tensor tells]."),
        click.option(
            "--parts",
            type=click.Choice(["all", "encoder"]),
            default="all",
            show_default=True,
            help="encoder leaves regressor, mask token and head behind.",
        ),
    ):
        function = option(function)
    return function


def _parsed(chosen: dict[str, Any]) -> Any:
    from panderm.models.checkpoints.options import ImportOptions

    return ImportOptions.parse(chosen, where="checkpoint options")


@command.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--keys", is_flag=True, help="List every key and what an import would do with it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@_options
def inspect_command(file: Path, keys: bool, as_json: bool, **chosen: Any) -> None:
    """Say what a checkpoint file, or a folder of ours, is, and what an import would do with it."""
    from panderm.cli.tables import print_rows
    from panderm.models.checkpoints.describe import describe

    told = describe(file, _parsed(chosen))
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    click.echo(told["what"])
    for name, value in told["facts"].items():
        click.echo(f"  {name}: {value}")
    for name in ("parts", *(("keys",) if keys else ())):
        if told[name]:
            click.echo("")
            print_rows(
                [{**row, "shape": "x".join(map(str, row["shape"]))} if name == "keys" else row for row in told[name]], "table"
            )
    for note in told["notes"]:
        click.echo(f"note: {note}")
    if told["refused"]:
        click.echo(f"import: refused: {told['refused']}")
    elif told["keys"]:
        click.echo("import: every key is accounted for")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write; only a former import is replaced."
)
@click.option("--task", default="", help="Benchmark of a fine-tuned network, e.g. pad_ufes.")
@click.option(
    "--classes", default="", help="Its classes in the order of the outputs, with commas [default: the catalogue's order]."
)
@click.option(
    "--split",
    type=click.Path(path_type=Path, file_okay=False),
    help="Split folder a fine-tuned network may be judged on: your word that it saw none of the test images.",
)
@_options
def import_command(file: Path, out: Path, task: str, classes: str, split: Path | None, **chosen: Any) -> None:
    """Turn a file into an encoder folder, or a fine-tuned network into a task model folder.

    Both work like our own: `panderm finetune` reads an encoder folder at artifacts/pretrain, and
    `overrides.start.folder` in params.yaml lets pretraining go on from one.
    """
    from panderm.cli.common import print_record
    from panderm.models.checkpoints.write import import_checkpoint

    named = tuple(name.strip() for name in classes.split(",") if name.strip())
    print_record(import_checkpoint(file, out, _parsed(chosen), task=task, classes=named, split=split, say=click.echo))


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["official-large", "official-base", "official-fine-tuned", "timm"]),
    help="official-large: encoder, regressor and head, prefix encoder.; official-base: the encoder alone, no prefix; "
    "official-fine-tuned: a task model; timm: a timm VisionTransformer.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write: .safetensors, or .pth for torch.")
def export_command(folder: Path, form: Any, out: Path) -> None:
    """Write a folder's weights in another project's layout; what was imported comes back bit for bit."""
    from panderm.models.checkpoints.export import export_checkpoint

    licence = export_checkpoint(folder, form, out)
    click.echo(f"{out}: {form}" + (f"; licence of the weights: {licence}" if licence else ""))
