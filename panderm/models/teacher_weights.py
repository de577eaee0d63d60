"""Where a teacher's weights come from: an open_clip tag, the Hugging Face hub, or a file or folder that is already here.

Only the image half is built and kept, so a model whose text half needs another library is a teacher too. What does not fit is
refused before anything is fetched. Nothing is unpickled (``panderm.models.checkpoints.read``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, cast

import open_clip
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import _build_vision_tower
from torch import Tensor, nn

from panderm.core.errors import InputError, one_of
from panderm.models.checkpoints.read import read_checkpoint

HUB, FOLDER = "hf-hub:", "local-dir:"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip looks for in a repository, in this order."""

_CONFIG = "open_clip_config.json"
_CACHE = "HF_HUB_CACHE"
_SHOWN = 3


class Tower(NamedTuple):
    """An image tower with its weights, at its native input size, and its normalisation."""

    tower: nn.Module
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def fetch_tower(source: str, weights: Path | None, fits: Callable[[nn.Module], None]) -> Tower:
    """Return the image half of ``source`` with its weights.

    Args:
        source: ``MODEL@TAG``, ``MODEL`` with ``weights``, ``hf-hub:ORG/REPO`` or ``local-dir:FOLDER``.
        weights: a file of all of the model or of its image half, instead of fetching.
        fits: raises if the tower, whose weights do not matter to it, cannot be a teacher; called before anything is fetched.

    Raises:
        InputError: the name or tag is unknown, or the weights are neither here nor to be had, or are another model's.
    """
    if source.startswith((HUB, FOLDER)):
        return _from_repository(source, weights, fits)
    name, _, tag = source.partition("@")
    _check_name(name)
    config: dict[str, Any] = _tag_config(name, tag) if tag else {}
    if not tag and weights is None:
        raise InputError(f"teacher {source!r} names no weights; write {name}@TAG, or set teacher.weights to a file of it")
    tower = untrained_tower(name)
    fits(tower)
    other = "" if open_clip.get_model_config(name).get("quick_gelu") else f"set teacher.source to {name}-quickgelu"
    _fill(tower, _local(weights) if weights is not None else _download(source, config), source, other)
    return Tower(tower, tuple(config.get("mean") or OPENAI_DATASET_MEAN), tuple(config.get("std") or OPENAI_DATASET_STD))


def untrained_tower(name: str) -> nn.Module:
    """Return the image half of an open_clip model with random weights.

    Raises:
        InputError: the name is unknown.
    """
    _check_name(name)
    return _build(open_clip.get_model_config(name))


def described_tower(source: str) -> nn.Module:
    """Return the tower of a source as :func:`fetch_tower` takes it, with random weights.

    Raises:
        InputError: the name is unknown, or the repository's description is not to be had.
    """
    if source.startswith((HUB, FOLDER)):
        return _build(_model(source, _repository(source)[0]))
    return untrained_tower(source.partition("@")[0])


def repository_files(source: str, weights: Path | None) -> dict[str, Path]:
    """Return the files that decide what a source that is a repository answers, by name; nothing for any other source.

    Args:
        source: as :func:`fetch_tower` takes it.
        weights: stands in for the repository's own weights, which are not looked for then.

    Raises:
        InputError: the repository's files are neither here nor to be had.
    """
    if not source.startswith((HUB, FOLDER)):
        return {}
    _, found = _repository(source)
    names = {_CONFIG: found(_CONFIG), **({} if weights is not None else {"weights": _own_weights(source, found)})}
    return {name: path for name, path in names.items() if path is not None}


def _build(config: dict[str, Any]) -> nn.Module:
    vision = config["vision_cfg"] | ({"timm_model_pretrained": False} if "timm_model_name" in config["vision_cfg"] else {})
    tower: nn.Module = _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))
    return tower


def _check_name(name: str) -> None:
    if name not in open_clip.list_models():
        hint = "`teacher.source` is MODEL@TAG, hf-hub:ORG/REPO, local-dir:FOLDER or random"
        raise InputError(one_of(name, _near(name), "open_clip model", hint))


def _near(name: str) -> list[str]:
    import difflib

    names: list[str] = open_clip.list_models()
    return difflib.get_close_matches(name, names, n=6, cutoff=0.0)


def _tag_config(name: str, tag: str) -> dict[str, Any]:
    config: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(name) or "none, so set teacher.weights to a file"
        raise InputError(one_of(tag, tags, f"pretrained tag of {name}"))
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
    repository, named = _hub_place(config)
    if repository:
        found = _on_the_hub(repository)
        kept = next((path for name in ([named] if named else FILES) if (path := found(name))), None)
        if kept is None:
            raise InputError(_how_to_fetch(source, config))
        return kept
    try:  # an address, which no tag of the pinned open_clip is without a repository
        return Path(open_clip.download_pretrained(config))
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        raise InputError(_how_to_fetch(source, config)) from error


def _hub_place(config: dict[str, Any]) -> tuple[str, str]:
    """Return the repository in which open_clip has a tag's weights, and the file there if it names one; else empty."""
    repository, _, named = str(config.get("hf_hub") or "").rpartition("/")
    return repository, named


def _how_to_fetch(source: str, config: dict[str, Any]) -> str:
    repository, named = _hub_place(config)
    if repository:
        name = named or FILES[0]
        what = f"{name} of {repository} on the Hugging Face hub"
        where = f", or fill the hub's cache ({_cache()}) where there is a network and copy it here"
    else:
        name, where = Path(str(config.get("url"))).name, ""
        what = f"{name}, which open_clip lists for it,"
    return (
        f"teacher {source!r} is not on this machine and cannot be fetched from here; fetch {what} and set teacher.weights to "
        f"the file, wherever you put it{where} (the tiny preset's random teacher needs nothing)"
    )


def _cache() -> str:
    """Name the hub's cache by the variable that moves it, with its place if the user has set it."""
    chosen = os.environ.get(_CACHE) or os.environ.get("HF_HOME")
    return f"${_CACHE}, now {chosen}" if chosen else f"${_CACHE}, by default ~/.cache/huggingface/hub"


def _from_repository(source: str, weights: Path | None, fits: Callable[[nn.Module], None]) -> Tower:
    config, files = _repository(source)
    model = _model(source, config)
    tower = _build(model)
    fits(tower)
    path = _local(weights) if weights is not None else _own_weights(source, files)
    _fill(tower, path, source, "" if model.get("quick_gelu") else f"set quick_gelu to true in the {_CONFIG} beside it")
    seen = config.get("preprocess_cfg", {})
    return Tower(tower, tuple(seen.get("mean") or OPENAI_DATASET_MEAN), tuple(seen.get("std") or OPENAI_DATASET_STD))


def _own_weights(source: str, files: Callable[[str], Path | None]) -> Path:
    path = next((found for name in FILES if (found := files(name))), None)
    if path is None:
        raise InputError(_repository_missing(source, " or ".join(FILES)))
    return path


def _model(source: str, config: dict[str, Any]) -> dict[str, Any]:
    model = config.get("model_cfg")
    if not isinstance(model, dict) or "vision_cfg" not in model:
        raise InputError(f"the {_CONFIG} of teacher {source!r} describes no image tower; name an open_clip repository")
    return model


def _repository(source: str) -> tuple[dict[str, Any], Callable[[str], Path | None]]:
    """Return a repository's description and what finds a file of it, None for one that is not to be had."""
    from panderm.core.files import read_json

    if source.startswith(FOLDER):
        found = _in_a_folder(Path(source.removeprefix(FOLDER)))
    else:
        found = _on_the_hub(source.removeprefix(HUB))
    described = found(_CONFIG)
    if described is None:
        raise InputError(_repository_missing(source, f"{_CONFIG} and {FILES[0]}"))
    return read_json(described), found


def _in_a_folder(folder: Path) -> Callable[[str], Path | None]:
    return lambda name: folder / name if (folder / name).is_file() else None


def _on_the_hub(repository: str) -> Callable[[str], Path | None]:
    """Return what finds a file in the hub's cache, and asks the hub, once, only for what is not there.

    What is cached counts without asking whether the hub has another one by now: a training that goes on needs no network then,
    and keeps the teacher that it began with.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # its web library's own base of every failure, which is no OSError
    unreachable = cast("type[Exception]", HfHubHTTPError.__mro__[1])

    def found(name: str) -> Path | None:
        try:
            cached = try_to_load_from_cache(repository, name)
            if isinstance(cached, str):
                return Path(cached)
            get_hf_file_metadata(hf_hub_url(repository, name))  # fails at once; a download tries for half a minute
            return Path(hf_hub_download(repository, name))
        except HFValidationError as error:
            raise InputError(f"{repository!r} is not a repository's name; write {HUB}ORG/REPO") from error
        except (unreachable, OSError, RuntimeError, ValueError):  # not there, no network, or told to stay offline
            return None

    return found


def _repository_missing(source: str, what: str) -> str:
    if source.startswith(FOLDER):
        return f"{source.removeprefix(FOLDER)} has no {what}; fetch the repository's files into that folder"
    repository = source.removeprefix(HUB)
    return (
        f"teacher {source!r} is not on this machine and cannot be fetched from here; fetch {what} of {repository} on the "
        f"Hugging Face hub into a folder and set teacher.source to {FOLDER}FOLDER, or fill the hub's cache ({_cache()})"
    )


def _fill(tower: nn.Module, path: Path, source: str, quick: str) -> None:
    """Load all of the image half strictly; a file of another model is refused instead of half used.

    Args:
        tower: gets the weights.
        path: the file.
        source: what is asked for, for messages.
        quick: what to do to get the QuickGELU; empty if the tower has it. No tensor tells, but OpenAI's own files are known.
    """
    checkpoint = read_checkpoint(path)
    tensors = _image_half(checkpoint.tensors)
    wanted = tower.state_dict()
    wrong = [key for key in wanted.keys() & tensors.keys() if wanted[key].shape != tensors[key].shape]
    lacking, foreign = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    name = source.partition("@")[0]
    if lacking or foreign or wrong:
        seen = [
            *([f"lacks {_few(lacking)}"] if lacking else []),
            *([f"has {_few(foreign)} too many"] if foreign else []),
            *([f"has another size of {_few(sorted(wrong))}"] if wrong else []),
        ]
        raise InputError(
            f"{path} does not hold the weights of {name}: it {', '.join(seen)}; name the model that the file belongs to "
            "(`panderm checkpoint inspect` tells which)"
        )
    if quick and checkpoint.openai:
        raise InputError(f"{path} is OpenAI's own file, trained with QuickGELU, but {name} has the other GELU; {quick}")
    tower.load_state_dict(tensors, strict=True)


def _image_half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the image tower's tensors of a whole model, or all of a file that holds nothing else."""
    prefix = "visual."
    half = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return half or tensors


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
