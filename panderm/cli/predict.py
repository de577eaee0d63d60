"""``panderm predict IMAGE...``: ask a Triton server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from panderm.core.layout import Layout


@click.command("predict")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--task", required=True, help="Which released task answers, e.g. ham10000.")
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True, help="How to ask.")
@click.option("--url", metavar="HOST:PORT", help="The server [default: this workspace's, else loopback's usual port].")
@click.option("--version", type=click.IntRange(min=1), help="Insist on this release [default: the one that serves].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")
def command(
    images: tuple[Path, ...],
    *,
    task: str,
    protocol: Literal["grpc", "http"],
    url: str | None,
    version: int | None,
    as_json: bool,
) -> None:
    """Print class probabilities for JPEG or PNG files, and which release answered.

    The server reads the files' bytes itself, with the preprocessing the model was trained with.
    """
    from panderm.core.progress import progress
    from panderm.serving import server
    from panderm.serving.client import Client

    if url is None and (found := server.running(Layout.here().work)) is not None:
        url = found.grpc_url if protocol == "grpc" else found.http_url
    with Client(url, protocol) as client:
        shown = progress(images, what="predict", unit="image") if len(images) > 20 else iter(images)
        for image in shown:
            answer = client.predict(task, image, version)
            if as_json:
                click.echo(json.dumps({"image": str(image), **answer.as_dict()}))
                continue
            label, probability = answer.top
            click.echo(f"{image}: {label} {probability:.4f}  ({task} version {answer.version})")
            ranked = sorted(zip(answer.labels, answer.probabilities, strict=True), key=lambda pair: -pair[1])
            for name, value in ranked:
                click.echo(f"  {name:<16} {value:.4f}")
