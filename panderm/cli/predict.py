"""``panderm predict IMAGE...``: ask a Triton server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from panderm.core.layout import Layout

if TYPE_CHECKING:
    from panderm.serving.client import Prediction, Segmentation

MASKS = Path("masks")
"""Where masks are written unless told otherwise: a folder of their own, so that no file of a picture's is replaced."""


@click.command("predict")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--task", required=True, help="Which released task answers, e.g. ham10000.")
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True, help="How to ask.")
@click.option("--url", metavar="HOST:PORT", help="The server [default: this workspace's, else loopback's usual port].")
@click.option("--version", type=click.IntRange(min=1), help="Insist on this release [default: the one that serves].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Of a task that answers masks: where IMAGE_mask.png goes [default: {MASKS}].",
)
@click.option("--overlay", is_flag=True, help="Of a task that answers masks: write IMAGE_overlay.png as well.")
def command(
    images: tuple[Path, ...],
    *,
    task: str,
    protocol: Literal["grpc", "http"],
    url: str | None,
    version: int | None,
    as_json: bool,
    out: Path | None,
    overlay: bool,
) -> None:
    """Print class probabilities for JPEG or PNG files, or write their masks, and say which release answered.

    The server reads the files' bytes itself, with the preprocessing the model was trained with. A mask has the size of its
    picture, held upright; 255 marks, 0 does not.
    """
    from panderm.core.errors import InputError
    from panderm.core.progress import progress
    from panderm.serving import server
    from panderm.serving.client import Client, Prediction

    if url is None and (found := server.running(Layout.here().work)) is not None:
        url = found.grpc_url if protocol == "grpc" else found.http_url
    with Client(url, protocol) as client:
        shown = progress(images, what="predict", unit="image") if len(images) > 20 else iter(images)
        for image in shown:
            answer = client.ask(task, image, version)
            if isinstance(answer, Prediction):
                if out is not None or overlay:
                    raise InputError(f"{task!r} answers class probabilities and no mask; leave --out and --overlay away")
                files, lines = {}, _ranked(answer)
            else:
                files = _write(answer, image, images, out or MASKS, overlay=overlay)
                lines = [f"  {name:<16} {path}" for name, path in files.items()]
            if as_json:
                click.echo(json.dumps({"image": str(image), **answer.as_dict(), **files}))
            else:
                first = f"{image}: {answer.in_words}  ({answer.task} version {answer.version})"
                click.echo("\n".join([first, *lines]))


def _ranked(answer: Prediction) -> list[str]:
    ranked = sorted(zip(answer.labels, answer.probabilities, strict=True), key=lambda pair: -pair[1])
    return [f"  {name:<16} {value:.4f}" for name, value in ranked]


def _write(answer: Segmentation, image: Path, images: tuple[Path, ...], out: Path, *, overlay: bool) -> dict[str, str]:
    """Write a mask, and the picture with its outline if that is wanted; return their paths by what they are.

    Raises:
        InputError: another of the images has the same name, or the folder cannot be written.
    """
    from panderm.core.errors import InputError
    from panderm.core.files import write_bytes
    from panderm.imaging.masks import as_png, overlay_png
    from panderm.imaging.preprocessing import decode

    others = [other for other in images if other.stem == image.stem and other.resolve() != image.resolve()]
    if others:
        raise InputError(
            f"the masks of {image} and {others[0]} would have one name; ask about them apart, each with its own --out"
        )
    made: dict[str, Any] = {"mask": as_png(answer.mask)}
    if overlay:
        made["overlay"] = overlay_png(decode(image.read_bytes()), answer.mask)
    for name, data in made.items():
        write_bytes(out / f"{image.stem}_{name}.png", data)
    return {name: str(out / f"{image.stem}_{name}.png") for name in made}
