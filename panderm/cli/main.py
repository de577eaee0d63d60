"""``panderm``: the pipeline from a shell. Commands are imported only when called, so ``--help`` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from panderm import __version__
from panderm.core.errors import PanDermError
from panderm.core.files import disk_is_full
from panderm.core.layout import WORKSPACE_VARIABLE
from panderm.core.stopping import listen
from panderm.pipeline import STAGES

_OTHERS: dict[str, str] = {
    "sources": "print the 11 pretraining sources",
    "tasks": "print the 28 benchmarks and which of them run",
    "checkpoint": "read official, timm and open_clip weights, and write them back",
    "synthesize": "write synthetic twins of the deliveries into landing/",
    "align": "bring two images of a lesion onto each other, with a picture of every step",
    "compare": "hold models against others on the same test images",
    "teachers": "pretrain with several teachers on the same corpus and compare the encoders",
    "study": "label efficiency, image degradation, subgroups, external validation and others, task by task",
    "reader-study": "compute the paper's reader studies from answers tables",
    "rollback": "return a task to its former release",
    "serve": "start a local Triton server on loopback with the model repository",
    "predict": "ask a Triton server about images",
    "report": "write the HTML report of the workspace",
}
COMMANDS: dict[str, str] = {stage.name: stage.makes for stage in STAGES} | _OTHERS
_ORDERLY = ("pretrain", "finetune")  # SIGTERM is kept from the first moment until they follow it; their imports take seconds


class LazyGroup(click.Group):
    """A click group whose commands live in ``panderm.cli.<name>`` and are imported when named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """Return the command names: stages in pipeline order, then the tools."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _ORDERLY:
            listen()
        command = importlib.import_module(f"panderm.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any."""
        with formatter.section("Stages, in order"):
            formatter.write_dl([(stage.name, stage.makes) for stage in STAGES])
        with formatter.section("Tools"):
            formatter.write_dl(list(_OTHERS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="panderm")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder with landing/, data/, artifacts/ and params.yaml [default: ${WORKSPACE_VARIABLE} or the current folder].",
)
def cli(workspace: Path | None) -> None:
    """From eleven institutions' skin images to gated, served models.

    Each stage reads files and writes a folder with a record.json; `panderm STAGE --help` says which.
    """
    if workspace is not None:
        if not workspace.is_dir():
            raise click.UsageError(f"workspace {str(workspace)!r} is not a folder; create it or name another")
        os.environ[WORKSPACE_VARIABLE] = str(workspace.resolve())


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors for users are one sentence on stderr and a non-zero exit (2 for bad input)."""
    try:
        cli.main(args=args, prog_name="panderm", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        click.echo(f"panderm: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("panderm: interrupted; run the same command again to go on", err=True)
        sys.exit(130)
    except PanDermError as error:
        click.echo(f"panderm: {error}", err=True)
        sys.exit(error.exit_code)
    except PermissionError as error:
        place = f" to {error.filename}" if error.filename else ""
        click.echo(f"panderm: no access{place} ({error.strerror}); grant it and run the same command again", err=True)
        sys.exit(PanDermError.exit_code)
    except OSError as error:
        if not disk_is_full(error):
            raise
        place = f" for {error.filename}" if error.filename else ""
        click.echo(f"panderm: there is no room{place} ({error.strerror}); make room and run the same command again", err=True)
        sys.exit(PanDermError.exit_code)
