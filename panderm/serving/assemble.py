"""From a bundle to model folders: which components a task needs, and what its version folder holds."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from panderm.core.files import sha256_file, write_json, write_text
from panderm.core.terms import sentence
from panderm.imaging import preprocessing
from panderm.serving import bundle as bundles
from panderm.serving import model_card
from panderm.serving import model_configs as configs
from panderm.serving import repository as repo
from panderm.serving.bundle import Bundle
from panderm.serving.model_configs import Answer, Batching, ModelConfig

_PREPROCESS_MODEL = Path(__file__).parent / "triton" / "preprocess_model.py"


class Parts(NamedTuple):
    """The components of one release.

    Attributes:
        names: component models in the order an image passes them.
        graphs: which component holds which ONNX file of the bundle.
    """

    names: tuple[str, ...]
    graphs: dict[str, str]


def add_components(batching: Batching, bundle: Bundle, folder: Path, repository: Path) -> Parts:
    """Add what the bundle needs and the repository has not got yet: preprocessing, encoder and head, or network.

    Args:
        batching: how the server joins requests.
        bundle: the bundle's checked card.
        folder: the bundle's folder.
        repository: the Triton model repository.

    Raises:
        Refused: a component that is there already was changed.
    """
    files = {
        "model.py": _PREPROCESS_MODEL,
        "preprocessing.py": Path(preprocessing.__file__),
        "preprocessing.json": folder / bundles.PREPROCESSING,
    }
    first = repo.add_component(repository, "preprocess", configs.preprocess(bundle.size, bundle.input_type, batching), files)
    graphs = {}
    for file, (stem, config) in _wanted(batching, bundle).items():
        labels = folder / bundles.LABELS if config["output"][0].get("label_filename") else None
        graphs[file] = repo.add_component(repository, stem, config, {"model.onnx": folder / file}, labels)
    return Parts((first, *graphs.values()), graphs)


def _answer(bundle: Bundle) -> Answer:
    return configs.of_mask(bundle.size) if bundle.answers == "mask" else configs.of_classes(len(bundle.classes))


def _wanted(batching: Batching, bundle: Bundle) -> dict[str, tuple[str, ModelConfig]]:
    size, kind, classes, width = bundle.size, bundle.input_type, len(bundle.classes), bundle.feature_width
    if bundle.graph == "network":
        return {bundles.NETWORK: (f"{bundle.task}_network", configs.network(size, kind, _answer(bundle), batching))}
    assert width is not None, "an encoder's bundle says how wide its feature is"
    return {
        bundles.ENCODER: ("encoder", configs.encoder(size, kind, width, batching)),
        bundles.HEAD: (f"{bundle.task}_head", configs.head(width, classes, batching)),
    }


def add_version(batching: Batching, bundle: Bundle, parts: Parts, folder: Path, repository: Path) -> int:
    """Add the task's next version folder and return its number; it does not serve yet.

    The folder holds its own ``config.pbtxt``, ``labels.txt``, ``release.json``, ``MODEL_CARD.md``, and ``bundle/``, a copy
    of the bundle (graphs as second names of the components' files) that evaluation reads as the champion.
    """

    def fill(target: Path, version: int) -> None:
        facts = _facts(bundle, parts, folder, version)
        write_text(target / repo.CONFIG, configs.to_pbtxt(_ensemble(batching, bundle, parts, facts)))
        write_text(target / bundles.LABELS, "\n".join(bundle.classes) + "\n")
        write_json(target / repo.RELEASE, facts)
        if bundles.MODEL_CARD in bundle.files:  # bundles older than cards have none
            told = (folder / bundles.MODEL_CARD).read_text()
            write_text(target / bundles.MODEL_CARD, model_card.of_version(told, version, facts["bundle_sha256"]))
        copy = target / repo.BUNDLE_FOLDER
        copy.mkdir()
        for name in (*bundle.files, bundles.BUNDLE_NAME):
            if name in parts.graphs:
                repo.link_or_copy(repository / parts.graphs[name] / "1" / "model.onnx", copy / name)
            else:
                shutil.copyfile(folder / name, copy / name)

    return repo.add_version(bundle.task, repository, fill)


def _ensemble(batching: Batching, bundle: Bundle, parts: Parts, facts: dict[str, Any]) -> ModelConfig:
    told = {name: str(facts[name]) for name in ("version", "bundle_sha256", "model_sha256", "encoder_sha256")}
    told["labels"] = json.dumps(bundle.classes)
    told["terms"] = sentence(bundle.inputs)
    return configs.ensemble(
        bundle.task, facts["version"], list(parts.names), answer=_answer(bundle), batching=batching, facts=told
    )


def _facts(bundle: Bundle, parts: Parts, folder: Path, version: int) -> dict[str, Any]:
    """``release.json``: the chain from this version back to the source delivery, and the one clock time we keep."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    digest = sha256_file(folder / bundles.BUNDLE_NAME)
    chain = bundle.model_dump(mode="json", exclude={"files", "parity"})
    return {**chain, "version": version, "bundle_sha256": digest, "components": list(parts.names), "released_at": now}
