"""Release: a bundle with a passing verdict becomes the next version in the Triton model repository, in one rename.

Layout and commit point: ``panderm/serving/repository.py``. A running server of the workspace is told at once; if it
cannot load the new models, what served before is put back and the release is refused.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from panderm.catalog import Benchmark
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, Refused, ServerError
from panderm.core.files import recover_folder
from panderm.core.layout import Layout
from panderm.core.record import Record
from panderm.core.terms import Input, sentence
from panderm.evaluation.verdict import load_verdict
from panderm.serving import assemble, control, model_configs, server
from panderm.serving import bundle as bundles
from panderm.serving import repository as repo


class Config(FrozenConfig):
    """Settings of a release.

    Attributes:
        batching: how the server joins requests; goes into every ``config.pbtxt``.
        server: gRPC address (``host:port``) of a Triton server elsewhere that serves this repository in explicit mode and
            must load the release; the workspace's own server needs no naming.
    """

    batching: model_configs.Batching = Field(default_factory=model_configs.Batching)
    server: str = ""


def champion(task: Benchmark, repository: Path) -> Path | None:
    """Return the serving version's bundle folder, or None before the first release."""
    return repo.champion_bundle(task.key, repository)


def run(config: Config, task: Benchmark, bundle: Path, repository: Path) -> Record:
    """Release a bundle as the task's next version.

    A model that is there already, with the same component models, makes no new version: if a killed release left it
    unfinished it is finished, if a rollback withdrew it, it stays withdrawn. The record says which.

    Args:
        config: batching of the models, and a server to tell.
        task: the benchmark.
        bundle: export's output.
        repository: the Triton model repository.

    Returns:
        The record: version, whether it is new, and the hash chain back to the data.

    Raises:
        InputError: there is no bundle, or the repository cannot be written.
        Refused: no passing verdict for exactly these files, a verdict that was not held against what serves, or a
            running server cannot load them.
    """
    recover_folder(bundle)
    checked = bundles.check_bundle(bundle, task.key)
    with repo.locked(repository, task.key):
        serving = repo.serving_version(task.key, repository)
        parts = assemble.add_components(config.batching, checked, bundle, repository)
        same = _version_of(parts, checked, repository)
        if same is not None and (same == serving or same in repo.withdrawn(task.key, repository)):
            return _record(config, task.key, repository, same, serving, made=False)
        _require_held_against(serving, task.key, bundle, repository)
        _tell(_servers(repository, config.server), parts.names, f"the release of {task.key}")
        if same is None:
            same = assemble.add_version(config.batching, checked, parts, bundle, repository)
        _commit(task.key, repository, same, serving, config.server)
        return _record(config, task.key, repository, same, same, made=True)


def rollback(task: Benchmark, repository: Path, to: int | None = None, server_url: str = "") -> Record:
    """Return a task to a former version, by default the one before the serving one.

    The version left is withdrawn: releasing its model again does not bring it back, only ``rollback --to`` does.

    Args:
        task: the benchmark.
        repository: the Triton model repository.
        to: version to return to; None takes the one before that no rollback withdrew.
        server_url: as :attr:`Config.server`.

    Raises:
        InputError: the task was never released, or there is no such version.
        Refused: the running server cannot load the former version.
    """
    key = task.key
    with repo.locked(repository, key):
        serving = repo.serving_version(key, repository)
        if serving is None:
            raise InputError(f"task {key!r} has no release yet; run `panderm release {key}` first")
        target = _former(key, repository, serving) if to is None else to
        if target not in repo.versions(key, repository):
            names = ", ".join(str(number) for number in repo.versions(key, repository))
            raise InputError(f"task {key!r} has no version {target}; it has: {names}")
        gone = set(repo.withdrawn(key, repository))
        repo.set_withdrawn(key, repository, (gone | {serving}) - {target})
        try:
            _commit(key, repository, target, serving, server_url)
        except Refused:
            repo.set_withdrawn(key, repository, gone)
            raise
        return _record(None, key, repository, target, target, made=False)


def _former(task: str, repository: Path, serving: int) -> int:
    gone = repo.withdrawn(task, repository)
    older = [number for number in repo.versions(task, repository) if number < serving and number not in gone]
    if not older:
        raise InputError(
            f"task {task!r} serves version {serving} and has no former version; name one with --to, or release anew"
        )
    return older[-1]


def _version_of(parts: assemble.Parts, bundle: bundles.Bundle, repository: Path) -> int | None:
    """Return the version that is this model with these components, whatever evidence it was released on."""
    for number in reversed(repo.versions(bundle.task, repository)):
        facts = repo.release_facts(bundle.task, repository, number)
        if (tuple(facts["components"]), facts["model_sha256"]) == (parts.names, bundle.model_sha256):
            return number
    return None


def _require_held_against(serving: int | None, task: str, bundle: Path, repository: Path) -> None:
    """Refuse a verdict that another champion was compared in: it says nothing about what would be replaced.

    Raises:
        Refused: something serves, and the verdict does not name it.
    """
    if serving is None:  # nothing is replaced: the floors, which every verdict holds, are enough
        return
    champion = load_verdict(bundle).champion
    if champion is None or champion.model_sha256 != repo.release_facts(task, repository, serving)["model_sha256"]:
        held = f"version {champion.version}" if champion else "no champion"
        raise Refused(
            f"the verdict of {task} was held against {held}, but version {serving} serves now; "
            f"run `panderm evaluate {task}`, gate and export again"
        )


def _commit(task: str, repository: Path, version: int, former: int | None, server_url: str) -> None:
    """Make ``version`` serve, and tell a running server; if that fails, put ``former`` back, there too.

    Components are loaded by now, so what can still fail is the ensemble; the server then drops the task until it has
    loaded the former one again.
    """
    servers = _servers(repository, server_url)
    repo.serve_version(task, repository, version)
    try:
        _tell(servers, (task,), f"version {version} of {task}")
    except Refused:
        repo.restore(task, repository, former)
        if former is not None:
            _tell(servers, (task,), f"return of {task} to version {former}")
        raise


def _servers(repository: Path, named: str) -> tuple[str, ...]:
    """Return the gRPC addresses that must load a release: the workspace's own server on this repository, and a named one."""
    own = server.running(Layout(repository.parent).work)
    found = [] if own is None or Path(own.repository).resolve() != repository.resolve() else [own.grpc_url]
    return tuple(dict.fromkeys([*found, named] if named else found))


def _tell(servers: tuple[str, ...], models: tuple[str, ...], what: str) -> None:
    """Have each server load ``models``; a failure refuses ``what``."""
    for url in servers:
        try:
            control.load(url, models)
        except ServerError as error:
            raise Refused(f"{what} is refused: {error}; what served before still serves") from error


def _record(config: Config | None, task: str, repository: Path, version: int, serving: int | None, *, made: bool) -> Record:
    facts = repo.release_facts(task, repository, version)
    note = "released" if made else "now serves" if config is None else "this model is already released"
    if version != serving:
        note = f"a rollback withdrew this model; `panderm rollback {task} --to {version}` serves it again"
    names = ("bundle_sha256", "verdict_sha256", "report_sha256", "model_sha256", "encoder_sha256", "split_sha256")
    return Record(
        stage="release" if config is not None else "rollback",
        key=task,
        counts={"versions": len(repo.versions(task, repository))},
        hashes={name.removesuffix("_sha256"): facts[name] for name in names},
        values={
            "version": version,
            "serving": serving,
            "new": made,
            "note": note,
            "terms": sentence(tuple(Input.parse(one, where=repo.RELEASE) for one in facts.get("inputs", ()))),
            "components": facts["components"],
            "metric": facts["metric"],
        },
        config=config.model_dump(mode="json") if config is not None else {},
    )
