"""What every stage command shares: settings from params.yaml with ``--set``, and how a record is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from panderm.core.config import FrozenConfig, override, read_params
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.stopping import StopRequested, heeding

ConfigT = TypeVar("ConfigT", bound=FrozenConfig)
F = TypeVar("F", bound=Callable[..., Any])

_BROKEN_OFF = "the command was asked to stop while no training ran; run it again to go on"


def settings_option(function: F) -> F:
    """Add ``--set key=value`` (repeatable): settings of this stage over params.yaml."""
    return click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a setting of this stage in params.yaml."
    )(function)


def stage_config(config: type[ConfigT], stage: str, layout: Layout, assignments: tuple[str, ...] = ()) -> ConfigT:
    """Return the stage's config: defaults, then its section of params.yaml, then ``--set``.

    Raises:
        ConfigError: a key is unknown or a value is out of range.
    """
    values = override(read_params(layout.params), tuple(f"{stage}.{assignment}" for assignment in assignments))
    return config.parse(values.get(stage) or {}, where=f"{stage} settings")


@contextmanager
def stopping_in_order(status: int = 0) -> Iterator[None]:
    """End the command with one sentence and ``status`` at SIGTERM, whether a training runs, which is then stopped, or not."""
    from panderm.training.launch import TrainingStopped

    try:
        with heeding():
            yield
    except (StopRequested, TrainingStopped) as stop:
        click.echo(f"panderm: {str(stop) or _BROKEN_OFF}", err=True)
        raise SystemExit(status) from stop  # click would turn its own Exit into a return value


def print_record(record: Record) -> None:
    """Print a record's counts and values, one line each."""
    title = f"{record.stage} {record.key}".strip()
    click.echo(f"{title}: " + (", ".join(f"{n} {name}" for name, n in record.counts.items()) or "done"))
    for name, value in record.values.items():
        if isinstance(value, str | int | float | bool):
            click.echo(f"  {name}: {value}")
