"""``panderm align IMAGE_A IMAGE_B``: two images of a lesion brought onto each other, every step as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from PIL import Image

_IMAGE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("align")
@click.argument("image_a", type=_IMAGE)
@click.argument("image_b", type=_IMAGE)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the pictures, replaced whole."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another number for a step (docs/change_detection.md), e.g. agreeing=6.",
)
def command(image_a: Path, image_b: Path, *, out: Path, assignments: tuple[str, ...]) -> None:
    """Bring IMAGE_B, a later image of a lesion, into the frame of IMAGE_A, an earlier one.

    Writes both images after each step (dark corners, hair, registration, lesion), what each of the four arms gives to the
    network, contact.png with all of it, and align.json with the numbers. Refuses if the two cannot be registered.
    """
    from panderm.core.config import override
    from panderm.core.errors import InputError
    from panderm.imaging.sequential.pipeline import align
    from panderm.imaging.sequential.settings import AlignSettings
    from panderm.imaging.sequential.sheet import SHEET_NAME, told, write_steps

    values = override({}, tuple(f"align.{assignment}" for assignment in assignments)).get("align", {})
    settings = AlignSettings.parse(values, where="align settings")
    pair = align(_opened(image_a), _opened(image_b), settings)
    if not pair.registration.found:
        facts = told(pair)
        raise InputError(
            f"no registration between {image_a} and {image_b}: {facts['agreeing']} of {facts['matches']} matched points agree "
            f"on one movement, {settings.agreeing} are needed; give two images of the same lesion, or lower `agreeing`"
        )
    facts = write_steps(out, pair, settings)
    click.echo(f"{facts['agreeing']} of {facts['matches']} matched points agree on a turn of {facts['angle']} degrees")
    click.echo(f"pictures of every step: {out}, all at once: {out / SHEET_NAME}")


def _opened(path: Path) -> Image.Image:
    from panderm.core.errors import InputError
    from panderm.imaging.preprocessing import UndecodableImage, decode

    try:
        return decode(path.read_bytes())
    except UndecodableImage as error:
        raise InputError(f"{path} cannot be read: {error}") from error
