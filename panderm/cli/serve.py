"""``panderm serve``: a local Triton server on loopback."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from panderm.core.layout import Layout

if TYPE_CHECKING:
    from panderm.serving.server import RunningServer

_PORT = click.IntRange(1, 65535)


@click.command("serve")
@click.option("--http-port", type=_PORT, help="HTTP port on loopback [default: 8000, or a free one].")
@click.option("--grpc-port", type=_PORT, help="gRPC port on loopback [default: 8001, or a free one].")
@click.option("--detach", "action", flag_value="detach", help="Start it and return; `panderm serve --stop` ends it.")
@click.option("--stop", "action", flag_value="stop", help="Stop this workspace's server.")
@click.option("--status", "action", flag_value="status", help="Say whether it runs, where, and what it serves.")
@click.option(
    "--repository", type=click.Path(file_okay=False, path_type=Path), help="Triton model repository [default: triton_repo]."
)
def command(http_port: int | None, grpc_port: int | None, action: str | None, repository: Path | None) -> None:
    """Start a Triton server on loopback with the released models, and stay until Ctrl-C.

    It loads what it is told (explicit mode): `panderm release` and `panderm rollback` tell it.
    """
    from panderm.core.errors import ServerError
    from panderm.serving import server

    layout = Layout.here()
    if action == "stop":
        stopped = server.stop(layout.work)
        click.echo("no server ran" if stopped is None else f"stopped the server on {stopped.grpc_url}")
    elif action == "status":
        found = server.running(layout.work)
        if found is None:
            raise ServerError("no server of this workspace runs; start one with `panderm serve`")
        _describe(found)
    elif action == "detach":
        _describe(server.start(repository or layout.triton_repo, layout.work, http_port, grpc_port))
    else:
        _stay(layout.work, lambda: server.start(repository or layout.triton_repo, layout.work, http_port, grpc_port))


def _describe(found: RunningServer) -> None:
    from panderm.serving import repository
    from panderm.serving.client import Client

    click.echo(f"Triton server: gRPC {found.grpc_url}, HTTP {found.http_url}, metrics {found.metrics_url}, log {found.log}")
    released = repository.served_tasks(Path(found.repository))
    with Client(found.grpc_url) as client:
        ready = client.tasks()
        for task in ready:
            click.echo(f"  {task}: version {client.facts(task)['version']}")
    for task in released:
        if task not in ready:
            click.echo(f"  {task}: NOT served; the log says why, `panderm rollback {task}` returns to the former version")
    if not released:
        click.echo("  nothing is released yet; `panderm release TASK` will load it here")


def _stay(work: Path, start: Callable[[], RunningServer]) -> None:
    """Start the server and wait until Ctrl-C, a termination or the server's end; then leave nothing running."""
    from panderm.core.errors import ServerError
    from panderm.serving import server

    def leave(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        started = start()
        _describe(started)
        while started.alive:
            time.sleep(0.5)
        if server.forget(work, started):
            raise ServerError(f"the Triton server ended by itself ({started.tail()}); its log is {started.log}")
    except KeyboardInterrupt:
        click.echo("stopping", err=True)
    finally:
        server.stop(work)
