"""Where a teacher's weights come from: an open_clip tag, the Hugging Face hub, or a file that is already here.

Only the image half is kept; nothing is unpickled (safetensors, torch files read with ``weights_only``, or TorchScript
archives, whose tensors are taken without running their code).
"""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import nn

from panderm.core.errors import InputError, one_of

HUB, FOLDER = "hf-hub:", "local-dir:"
_HF_FILE = "open_clip_model.safetensors"


class Tower(NamedTuple):
    """An image tower with its weights, at its native input size, and its normalisation."""

    tower: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def fetch_tower(source: str, weights: Path | None) -> Tower:
    """Return the image half of ``source`` with its weights.

    Raises:
        InputError: the name or tag is unknown, or the weights are neither here nor to be had.
    """
    if source.startswith((HUB, FOLDER)):
        return _from_repository(source)
    name, _, tag = source.partition("@")
    if name not in open_clip.list_models():
        raise InputError(
            one_of(name, _near(name), "open_clip model", "`teacher.source` is MODEL@TAG, hf-hub:ORG/REPO or random")
        )
    config: dict[str, Any] = _tag_config(name, tag) if tag else {}
    if not tag and weights is None:
        raise InputError(f"teacher {source!r} names no weights; write {name}@TAG, or set teacher.weights to a file of it")
    path = _local(weights) if weights is not None else _download(source, config)
    model: Any = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    _load(model, path, source)
    return Tower(model.visual, tuple(config.get("mean") or OPENAI_DATASET_MEAN), tuple(config.get("std") or OPENAI_DATASET_STD))


def untrained_tower(name: str) -> nn.Module:
    """Return the image half of an open_clip model with random weights.

    Raises:
        InputError: the name is unknown.
    """
    if name not in open_clip.list_models():
        raise InputError(one_of(name, _near(name), "open_clip model"))
    model: Any = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    tower: nn.Module = model.visual
    return tower


def _near(name: str) -> list[str]:
    import difflib

    names: list[str] = open_clip.list_models()
    return difflib.get_close_matches(name, names, n=6, cutoff=0.0)


def _tag_config(name: str, tag: str) -> dict[str, Any]:
    config: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        raise InputError(one_of(tag, open_clip.list_pretrained_tags_by_model(name), f"pretrained tag of {name}"))
    quick = bool(config.get("quick_gelu"))
    if quick != bool(open_clip.get_model_config(name).get("quick_gelu")):
        other = f"{name}-quickgelu" if quick else name.removesuffix("-quickgelu")
        raise InputError(f"teacher {name}@{tag} was trained with the other GELU; write {other}@{tag}")
    return config


def _local(weights: Path) -> Path:
    if not weights.is_file():
        raise InputError(f"the teacher's weights {weights} are missing; put the file there or change teacher.weights")
    return weights


def _download(source: str, config: dict[str, Any]) -> Path:
    try:
        path = open_clip.download_pretrained(config)
    except (OSError, RuntimeError, ValueError) as error:  # requests' and the hub's own errors are OSErrors
        raise InputError(_how_to_fetch(source, config)) from error
    if not path:
        raise InputError(_how_to_fetch(source, config))
    return Path(path)


def _how_to_fetch(source: str, config: dict[str, Any]) -> str:
    hub = str(config.get("hf_hub") or "").strip("/")
    what = f"{_HF_FILE} of {hub} on the Hugging Face hub" if hub else str(config.get("url"))
    return (
        f"teacher {source!r} is not on this machine and cannot be fetched from here; fetch {what}, put it anywhere on this "
        "machine and set teacher.weights to the file (or use the tiny preset's random teacher to try things out)"
    )


def _from_repository(source: str) -> Tower:
    try:
        model: Any = open_clip.create_model(source, require_pretrained=True, pretrained_text=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"teacher {source!r} is not on this machine and cannot be fetched from here; fetch its repository "
            "(open_clip_config.json and the weights) into a folder and set teacher.source to local-dir:FOLDER"
        ) from error
    return Tower(model.visual, tuple(model.visual.preprocess_cfg["mean"]), tuple(model.visual.preprocess_cfg["std"]))


def _load(model: nn.Module, path: Path, source: str) -> None:
    """Load all of a CLIP model strictly: a file of another model is refused instead of half used."""
    try:
        if _is_torchscript(path):
            archive: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
            tensors = archive.float().state_dict()
            for extra in ("input_resolution", "context_length", "vocab_size"):
                tensors.pop(extra, None)
            model.load_state_dict(tensors, strict=True)
        else:
            open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        logging.getLogger(__name__).debug("%s", error)
        raise InputError(
            f"{path} does not hold the weights of {source.partition('@')[0]} ({str(error).splitlines()[0]}); name the model "
            "the file belongs to, with -quickgelu for OpenAI's own"
        ) from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
