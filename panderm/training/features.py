"""Encoder features, computed once per image and encoder and kept for every task that meets the image again.

The cache has one folder per (encoder, preprocessing); its parts are immutable safetensors files that name the images
they hold by the sha256 of their stored bytes. Deleting it costs time and nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from panderm.core.errors import InputError
from panderm.core.files import sha256_bytes, sha256_json, writing
from panderm.imaging.batches import prepared_batches
from panderm.models.encoder import EncoderCard, load_card, load_encoder
from panderm.models.pixels import normalise

Features = NDArray[np.float32]
PART_IMAGES = 4096
"""Images a part file: 16 MB at width 1024, and what a killed run loses at most."""


def features(
    encoder: Path, frame: pd.DataFrame, data: Path, cache: Path, *, batch: int = 64, workers: int = 2, what: str = "features"
) -> Features:
    """Return the class-token feature of each row's image, float32 (N, D), computing only what the cache lacks.

    Args:
        encoder: pretrain's output folder.
        frame: columns ``image_id``, ``shard``, ``offset``, ``nbytes``, ``stored_sha256``.
        data: folder of the published datasets.
        cache: folder of the feature cache.
        batch: images a forward pass; 64 of ViT-L/16 take about 4 GB on a GPU.
        workers: decoding threads.
        what: title of the progress bar.

    Raises:
        InputError: an image or shard is missing or damaged, the encoder's folder is, or a feature is not finite.
    """
    card = load_card(encoder)
    home = cache / folder_of(card)
    answer = np.empty((len(frame), card.architecture.width), dtype=np.float32)
    where = _Places(frame["stored_sha256"])
    lacking = where.digests - _load(home, where, answer)
    todo = frame.drop_duplicates("stored_sha256")
    todo = todo[todo["stored_sha256"].isin(lacking)]
    if len(todo):
        module, card = load_encoder(encoder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        module.to(device)
        for first in range(0, len(todo), PART_IMAGES):
            part = todo.iloc[first : first + PART_IMAGES]
            title = what if len(todo) <= PART_IMAGES else f"{what} {first}+"
            rows = []
            for pixels in prepared_batches(part, data, card.preprocessing, batch=batch, workers=workers, what=title):
                with torch.inference_mode():
                    images = normalise(torch.from_numpy(pixels).to(device), card.preprocessing)
                    rows.append(module.class_token(images).float().cpu().numpy())
            where.put(store(home, part, np.concatenate(rows)), answer)
    return answer


class _Places:
    """Which rows of an answer each image's feature belongs in, so that parts go straight there and no second copy is held."""

    def __init__(self, digests: pd.Series) -> None:
        groups = digests.reset_index(drop=True).groupby(digests.to_numpy(), sort=False).indices
        self._of = {str(digest): np.asarray(places) for digest, places in groups.items()}
        self.digests = set(self._of)

    def put(self, part: tuple[list[str], Features], answer: Features) -> set[str]:
        """Write the rows of a part that belong in ``answer``, and return the images they are of."""
        told = [(digest, number) for number, digest in enumerate(part[0]) if digest in self._of]
        for digest, number in told:
            answer[self._of[digest]] = part[1][number]
        return {digest for digest, _ in told}


def folder_of(card: EncoderCard) -> str:
    """Return the name of an encoder's folder in the cache."""
    return f"{card.sha256[:16]}-{sha256_bytes(card.preprocessing.to_json().encode())[:8]}"


def store(home: Path, part: pd.DataFrame, rows: Features) -> tuple[list[str], Features]:
    """Write a part file of features (N, D) of the images ``part`` (``image_id``, ``stored_sha256``) and return what it holds.

    Raises:
        InputError: a feature is not finite.
    """
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        image = part["image_id"].iloc[int(bad.argmax())]
        raise InputError(
            f"the encoder's feature of image {image} is not finite (and of {int(bad.sum())} in {len(part)}); "
            "its weights are broken, run `panderm pretrain` again"
        )
    digests = [str(digest) for digest in part["stored_sha256"]]
    with writing(home / f"part-{sha256_json(digests)[:16]}.safetensors") as aside:
        save_file({"features": np.ascontiguousarray(rows)}, aside, metadata={"images": json.dumps(digests)})
    return digests, rows


def _load(home: Path, where: _Places, answer: Features) -> set[str]:
    """Write what the cache has into ``answer``, and return the images found."""
    found: set[str] = set()
    for path in sorted(home.glob("part-*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                digests = json.loads(file.metadata()["images"])
                if not where.digests.isdisjoint(digests):
                    found |= where.put((digests, file.get_tensor("features")), answer)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a part of the feature cache ({error}); remove it, it is made again") from error
    return found
