"""The Triton model repository: immutable components, one ensemble a task, one rename that decides what serves.

``<task>/config.pbtxt`` names the one version that serves; replacing it is the release. Each version folder keeps that
file, so a rollback is the same rename with the former version's. Components are named by their content and never
change, so adding one changes nothing that serves. A lock keeps two releases from one another; the kernel drops it
when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panderm.core.errors import InputError, Refused
from panderm.core.files import (
    building_folder,
    read_json,
    remove_leftovers,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
    writing,
)
from panderm.serving import model_configs

CONFIG, RELEASE, BUNDLE_FOLDER = "config.pbtxt", "release.json", "bundle"
_WITHDRAWN = "withdrawn.json"


@contextmanager
def locked(repository: Path, task: str) -> Iterator[None]:
    """Hold the repository for one writer, cleared of what killed writers left unfinished.

    Raises:
        InputError: the repository cannot be written.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        stream = (repository / ".lock").open("w")
    except OSError as error:
        raise InputError(f"cannot write {repository} ({error.strerror}); choose a folder you may write to") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for folder in (repository, repository / task):
            remove_leftovers(folder)
        yield


def served_tasks(repository: Path) -> tuple[str, ...]:
    """Return the tasks that have a release, sorted."""
    if not repository.is_dir():
        return ()
    folders = (path for path in repository.iterdir() if not path.name.startswith("."))
    return tuple(sorted(path.name for path in folders if (path / CONFIG).is_file() and any(path.glob(f"*/{RELEASE}"))))


def versions(task: str, repository: Path) -> tuple[int, ...]:
    """Return the version numbers that lie in a task's folder, ascending."""
    folder = repository / task
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and (path / RELEASE).is_file()))


def serving_version(task: str, repository: Path) -> int | None:
    """Return the version that ``config.pbtxt`` names, or None before the first release.

    Raises:
        InputError: the file is damaged.
    """
    path = repository / task / CONFIG
    return _served(path)[0] if path.is_file() else None


def serving_components(task: str, repository: Path) -> tuple[str, ...]:
    """Return the component models that a task's serving version runs, in the order an image passes them."""
    return _served(repository / task / CONFIG)[1]


def _served(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the version and the component models that a task's ``config.pbtxt`` names.

    Raises:
        InputError: the file is damaged; releasing again reads it too, so it takes a version's own copy.
    """
    try:
        config = model_configs.from_pbtxt(path.read_text(), str(path))
        version = int(config["version_policy"]["specific"]["versions"][0])
        return version, tuple(step["model_name"] for step in config["ensemble_scheduling"]["step"])
    except (InputError, LookupError, ValueError) as error:
        raise InputError(
            f"{path} is damaged and does not say which version serves; copy {path.parent}/VERSION/{CONFIG} of the version that "
            "should serve over it"
        ) from error


def release_facts(task: str, repository: Path, version: int) -> dict[str, Any]:
    """Return ``release.json`` of a version.

    Raises:
        InputError: there is no such version, or its file is damaged.
    """
    path = repository / task / str(version) / RELEASE
    facts = read_json(path)
    lacking = [name for name in ("version", "components", "model_sha256") if not isinstance(facts, dict) or name not in facts]
    if lacking:
        raise InputError(f"{path} does not say {lacking[0]!r}, so it is damaged; bring it back, or remove the version's folder")
    return dict(facts)


def champion_bundle(task: str, repository: Path) -> Path | None:
    """Return the folder, in bundle layout, of the version that serves; None before the first release."""
    version = serving_version(task, repository)
    return None if version is None else repository / task / str(version) / BUNDLE_FOLDER


def withdrawn(task: str, repository: Path) -> tuple[int, ...]:
    """Return the versions that a rollback took out of service."""
    path = repository / task / _WITHDRAWN
    return tuple(read_json(path)) if path.is_file() else ()


def set_withdrawn(task: str, repository: Path, numbers: set[int]) -> None:
    """Write which versions a rollback took out of service."""
    write_json(repository / task / _WITHDRAWN, sorted(numbers))


def add_component(
    repository: Path, stem: str, config: dict[str, Any], files: dict[str, Path], labels: Path | None = None
) -> str:
    """Add an immutable component model and return its name, ``<stem>_<hash8>``; the same content is added once.

    Args:
        repository: the model repository.
        stem: ``preprocess``, ``encoder``, ``<task>_head`` or ``<task>_network``.
        config: its configuration without the name.
        files: what goes into its version folder ``1/``, by name.
        labels: labels file beside ``config.pbtxt``.

    Raises:
        Refused: a component of that name lies there with other bytes, that is, somebody changed it.
    """
    files = {**{f"1/{name}": path for name, path in files.items()}, **({"labels.txt": labels} if labels else {})}
    hashes = {name: sha256_file(path) for name, path in files.items()}
    name = f"{stem}_{sha256_json({'files': hashes, 'config': config})[:8]}"
    target = repository / name
    text = model_configs.to_pbtxt({"name": name, **config})
    if target.is_dir():
        _check_component(target, hashes, text)
        return name
    with building_folder(target) as aside:
        for relative, path in files.items():
            (aside / relative).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, aside / relative)
        write_text(aside / CONFIG, text)
    return name


def _check_component(folder: Path, hashes: dict[str, str], text: str) -> None:
    config = folder / CONFIG
    same = config.is_file() and config.read_text() == text
    for relative, digest in hashes.items():
        same = same and (folder / relative).is_file() and sha256_file(folder / relative) == digest
    if not same:
        raise Refused(f"{folder} was changed after its release; remove the folder and release again")


def link_or_copy(source: Path, target: Path) -> None:
    """Give an immutable file a second name, or where the file system has no hard links, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def add_version(task: str, repository: Path, fill: Callable[[Path, int], None]) -> int:
    """Add the next version folder of a task, whole or not at all; it does not serve until :func:`serve_version`.

    Versions above the serving one that no rollback withdrew are left-overs of killed releases and are removed first.
    """
    serving = serving_version(task, repository) or 0
    kept = withdrawn(task, repository)
    for number in versions(task, repository):
        if number > serving and number not in kept:
            shutil.rmtree(repository / task / str(number))
    number = max((*versions(task, repository), *kept, serving), default=0) + 1
    with building_folder(repository / task / str(number)) as aside:
        fill(aside, number)
    return number


def serve_version(task: str, repository: Path, version: int) -> None:
    """Make a version the one that serves: the one rename of a release and of a rollback.

    Raises:
        InputError: there is no such version.
    """
    source = repository / task / str(version) / CONFIG
    if not source.is_file():
        names = ", ".join(str(number) for number in versions(task, repository)) or "none"
        raise InputError(f"task {task!r} has no version {version}; it has: {names}")
    with writing(repository / task / CONFIG) as aside:
        shutil.copyfile(source, aside)


def restore(task: str, repository: Path, version: int | None) -> None:
    """Put back what served before a release that the server refused; None takes the task out again."""
    if version is None:
        (repository / task / CONFIG).unlink(missing_ok=True)
    else:
        serve_version(task, repository, version)
