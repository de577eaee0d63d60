"""The result of an audit as one HTML page that opens offline: what was seen, what was expected, what is in quarantine."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import pandas as pd
from PIL import Image, ImageOps

from panderm.contracts.contract import Audit
from panderm.core.errors import InputError
from panderm.imaging.preprocessing import UndecodableImage, decode
from panderm.imaging.shards import read_image_bytes

THUMBNAILS = 8  # pictures, spread evenly over the manifest: enough to see a wrong folder or modality at a glance
_SIDE = 96  # pixels


def page(result: Audit, staged: Path, manifest: pd.DataFrame) -> str:
    """Return the page; equal inputs give equal text.

    Args:
        result: the audit.
        staged: folder of the shards.
        manifest: the staged manifest.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("panderm.contracts", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("contract.html").render(audit=result, thumbnails=_thumbnails(staged, manifest))


def _thumbnails(staged: Path, manifest: pd.DataFrame) -> list[dict[str, str]]:
    step = max(1, len(manifest) // THUMBNAILS)
    found = []
    for row in manifest.iloc[::step].head(THUMBNAILS).to_dict("records"):
        try:
            image = decode(read_image_bytes(staged, row["shard"], row["offset"], row["nbytes"]))
        except (InputError, UndecodableImage):  # its bytes are damaged, which a rule says already
            continue
        found.append({"uri": _uri(image), "title": "{image_id}, {modality}, {width} x {height}".format_map(row)})
    return found


def _uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    ImageOps.fit(image, (_SIDE, _SIDE)).save(stream, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
