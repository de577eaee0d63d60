"""Every step of a pair as pictures, and all of them on one contact sheet; equal pairs, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panderm.core.files import building_folder, write_json, writing
from panderm.imaging.sequential.cleaning import Mask, Picture, as_picture
from panderm.imaging.sequential.pipeline import Aligned, pictures, shared_lesion
from panderm.imaging.sequential.registration import bring_over
from panderm.imaging.sequential.settings import ARMS, AlignSettings

SHEET_NAME, FACTS_NAME = "contact.png", "align.json"
_TITLES = ("original", "no dark corners", "no hair", "registered", "lesion", "given to the network")


def write_steps(folder: Path, aligned: Aligned, settings: AlignSettings) -> dict[str, Any]:
    """Write the stages of a registered pair, what each arm shows, the contact sheet and ``align.json``, whole or not at all.

    Args:
        folder: output, replaced whole.
        aligned: the pair; registered.
        settings: what it was made with.

    Returns:
        What ``align.json`` says.
    """
    facts = {**told(aligned), "settings": settings.model_dump(mode="json")}
    with building_folder(folder) as aside:
        for name, row in zip("ab", _rows(aligned), strict=True):
            for number, (title, picture) in enumerate(zip(_TITLES, row, strict=True), start=1):
                _save(aside / f"{name}_{number}_{title.replace(' ', '_')}.png", picture)
        for arm in ARMS:
            for name, picture in zip("ab", pictures(aligned, arm), strict=True):
                _save(aside / f"arm_{arm}_{name}.png", picture)
        draw_sheet(aside / SHEET_NAME, aligned)
        write_json(aside / FACTS_NAME, facts)
    return facts


def told(aligned: Aligned) -> dict[str, Any]:
    """Return the facts of a pair as JSON values: lengths are shares of the long side, angles degrees."""
    found, side = aligned.registration, max(aligned.first.original.shape)
    matrix = found.matrix
    return {
        "registered": found.found,
        "matches": len(found.first),
        "agreeing": int(found.agreeing.sum()),
        "angle": None if matrix is None else round(found.angle, 3),
        "shift": None if matrix is None else [round(float(matrix[axis, 2]) / side, 4) for axis in (0, 1)],
        "corners": [round(float(one.corner_mask.mean()), 4) for one in aligned[:2]],
        "hair": [round(float(one.hair_mask.mean()), 4) for one in aligned[:2]],
        "lesion": [None if one.lesion is None else round(float(one.lesion.mean()), 4) for one in aligned[:2]],
    }


def draw_sheet(path: Path, aligned: Aligned) -> None:
    """Write both images through every step; the last row is how far the two are apart at each of them."""
    from matplotlib.figure import Figure

    rows = _rows(aligned)
    figure = Figure(figsize=(2.1 * len(_TITLES), 5.4), dpi=90, layout="constrained")
    grid = figure.subplots(3, len(_TITLES))
    for name, row, line in zip(("first image", "second image"), rows, grid, strict=False):
        for title, picture, axes in zip(_TITLES, row, line, strict=True):
            axes.imshow(picture)
            axes.set_title(f"{title}" if name == "first image" else "", fontsize=8)
        line[0].set_ylabel(name, fontsize=8)
    for column, axes in enumerate(grid[2]):
        axes.imshow(_apart(rows[0][column], rows[1][column]), cmap="magma", vmin=0, vmax=96)
    grid[2][0].set_ylabel("difference", fontsize=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    found = aligned.registration
    text = f"{int(found.agreeing.sum())} of {len(found.first)} matched points agree on a turn of {found.angle:.1f} degrees"
    figure.suptitle(text if found.found else "not registered", fontsize=9, x=0.01, ha="left")
    with writing(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})


def _rows(aligned: Aligned) -> tuple[list[Picture], list[Picture]]:
    """Return what is shown of each image at each step of :data:`_TITLES`."""
    matrix, first, second = aligned.registration.matrix, aligned.first, aligned.second
    shape = (first.original.shape[0], first.original.shape[1])
    moved = second.clean if matrix is None else bring_over(second.clean, matrix, shape)
    lesions = (first.lesion, second.lesion) if matrix is None else (shared_lesion(aligned),) * 2
    last = pictures(aligned, "whole")
    return (
        [first.original, first.corners, first.clean, first.clean, _outlined(first.clean, lesions[0]), last[0]],
        [second.original, second.corners, second.clean, moved, _outlined(moved, lesions[1]), last[1]],
    )


def _outlined(image: Picture, mask: Mask | None) -> Picture:
    if mask is None:
        return image
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, max(image.shape) // 200)
    return as_picture(cv2.drawContours(image.copy(), contours, -1, (255, 255, 255), width))


def _apart(first: Picture, second: Picture) -> Picture:
    """Return how far two pictures are apart, mean over the colours (H, W); the second is brought to the first's size."""
    height, width = first.shape[:2]
    other = np.asarray(Image.fromarray(second).resize((width, height)))
    apart: Picture = np.abs(first.astype(np.int16) - other).mean(axis=2).astype(np.uint8)
    return apart


def _save(path: Path, picture: Picture) -> None:
    Image.fromarray(picture).save(path, "PNG")
