"""The bundle: what export makes and release, evaluation and rollback read. One typed card, every file named by its hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from panderm.core.config import FrozenConfig, added
from panderm.core.errors import InputError, Refused
from panderm.core.files import read_json, sha256_file, write_json
from panderm.core.record import RECORD_NAME
from panderm.core.terms import Input
from panderm.evaluation.verdict import VERDICT_NAME, Verdict, load_verdict
from panderm.imaging.preprocessing import Preprocessing

BUNDLE_NAME = "bundle.json"
ENCODER, HEAD, NETWORK = "encoder.onnx", "head.onnx", "network.onnx"
LABELS, PREPROCESSING, MODEL_CARD = "labels.txt", "preprocessing.json", "MODEL_CARD.md"
VERDICT, REPORT, PREDICTIONS = VERDICT_NAME, "report.json", "predictions.parquet"
Graph = Literal["encoder_and_head", "network"]
GRAPHS: dict[Graph, tuple[str, ...]] = {"encoder_and_head": (ENCODER, HEAD), "network": (NETWORK,)}
"""The ONNX files of each kind of bundle, in the order an image passes them."""

Answers = Literal["probabilities", "mask"]
InputType = Literal["uint8", "float32"]


class Parity(FrozenConfig):
    """How far ONNX Runtime is from torch on the same prepared images, measured at export.

    Of a bundle that answers masks, a class is a pixel's: foreground or background.

    Attributes:
        real_images: test images used, read from the shards as delivered to the model.
        random_images: images of uniform noise, one byte a value.
        batch_sizes: batch sizes tried; every image went through each of them.
        max_abs_feature: largest difference of an encoder feature; None for a whole network.
        max_abs_probability: largest difference of a class probability, 0..1.
        max_abs_judged: largest difference to the probabilities that evaluation wrote for the real images, 0..1; of masks, to
            the Jaccard index that evaluation wrote for the served network's mask of each.
        label_agreement: share of images with the same top label, 0..1; of masks, of pixels.
        tolerance: largest ``max_abs_probability`` that export lets pass.
    """

    real_images: int
    random_images: int
    batch_sizes: tuple[int, ...]
    max_abs_feature: float | None
    max_abs_probability: float
    max_abs_judged: float
    label_agreement: float
    tolerance: float


class Bundle(FrozenConfig):
    """``bundle.json``: what is in the folder, from what it was made, and what allowed it out.

    Attributes:
        task: benchmark key.
        protocol: ``linear_probe``, ``fine_tuning`` or ``upernet``.
        graph: ``encoder_and_head`` (two graphs, the encoder shared between tasks) or ``network`` (one).
        classes: labels in index order; also ``labels.txt``, one a line.
        input_type: what the first graph takes: ``uint8``, or ``float32`` with the same values 0..255.
        size: side of the square input, pixels.
        feature_width: length of the encoder's feature; None for ``network``.
        opset: ONNX opset of the graphs.
        model_sha256: sha256 of the task model's ``model.json``.
        encoder_sha256: sha256 of the encoder's weights file.
        split_sha256: sha256 of the split the model was fitted and judged on.
        preprocessing_sha256: sha256 of the preprocessing description.
        report_sha256: sha256 of ``report.json``.
        verdict_sha256: sha256 of ``verdict.json``.
        metric: primary metric with its value and 95 % interval; where several networks were judged, that of the served one.
        parity: torch against ONNX Runtime.
        provenance: hashes that the records of the earlier stages carry, by stage.
        files: sha256 of every other file of the folder, by name.
        inputs: everything that the model was made from, with its terms; empty if that was not recorded.
        answers: ``probabilities`` of the classes, (N, C), or a ``mask``: the foreground's probability of each pixel, (N, S, S),
            where the foreground is the second class.
    """

    task: str
    protocol: str
    graph: Graph
    classes: tuple[str, ...]
    input_type: InputType
    size: int
    feature_width: int | None
    opset: int
    model_sha256: str
    encoder_sha256: str
    split_sha256: str
    preprocessing_sha256: str
    report_sha256: str
    verdict_sha256: str
    metric: dict[str, Any]
    parity: Parity
    provenance: dict[str, dict[str, str]]
    files: dict[str, str]
    inputs: tuple[Input, ...] = added(())
    answers: Answers = added("probabilities")

    def save(self, folder: Path) -> None:
        """Write ``bundle.json`` into ``folder``."""
        write_json(folder / BUNDLE_NAME, self.model_dump(mode="json"))

    @property
    def graphs(self) -> tuple[str, ...]:
        """The ONNX files, in the order an image passes them."""
        return GRAPHS[self.graph]


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a bundle folder that ``bundle.json`` answers for, by name."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return {name: sha256_file(folder / name) for name in names if name not in (BUNDLE_NAME, RECORD_NAME)}


def load_bundle(folder: Path) -> Bundle:
    """Read ``bundle.json``.

    Raises:
        InputError: the folder holds no bundle, or one of another version.
    """
    path = folder / BUNDLE_NAME
    if not path.is_file():
        raise InputError(f"{folder} holds no {BUNDLE_NAME}; run `panderm export` for the task first")
    return Bundle.parse(read_json(path), where=str(path))


def load_preprocessing(folder: Path) -> Preprocessing:
    """Read the preprocessing description of a bundle folder.

    Raises:
        InputError: the file is missing or is not such a description.
    """
    path = folder / PREPROCESSING
    try:
        return Preprocessing.from_json(path.read_text())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a preprocessing description ({error}); run `panderm export` again") from error


def check_bundle(folder: Path, task: str) -> Bundle:
    """Return the bundle after holding every file against its hash and the verdict against the bundle.

    This is the last wall before ``triton_repo/``: it asks nothing of the stages before, only of the files at hand.

    Raises:
        InputError: the folder holds no bundle.
        Refused: another task's bundle, a file changed or missing, or no passing verdict for exactly this model.
    """
    bundle = load_bundle(folder)
    if bundle.task != task:
        raise Refused(f"{folder} is a bundle of task {bundle.task!r}, not {task!r}; name the bundle of {task!r}")
    for name, expected in bundle.files.items():
        if not (folder / name).is_file() or sha256_file(folder / name) != expected:
            raise Refused(f"{folder / name} is missing or not the file that was exported; run `panderm export {task}` again")
    needed = {VERDICT, REPORT, LABELS, PREPROCESSING, *bundle.graphs}
    if unnamed := needed - set(bundle.files):
        raise Refused(f"{folder} does not name {sorted(unnamed)[0]} in {BUNDLE_NAME}; run `panderm export {task}` again")
    _check_verdict(bundle, load_verdict(folder))
    return bundle


def _check_verdict(bundle: Bundle, verdict: Verdict) -> None:
    if not verdict.passed:
        raise Refused(
            f"the verdict of {bundle.task} is {verdict.outcome}, and only a pass is released ({' '.join(verdict.reasons)})"
        )
    for name in ("task", "model_sha256", "split_sha256", "preprocessing_sha256", "report_sha256"):
        if getattr(verdict, name) != getattr(bundle, name):
            raise Refused(
                f"the verdict of {bundle.task} was given for another {name.removesuffix('_sha256')}; "
                f"run `panderm gate {bundle.task}` and `panderm export {bundle.task}` again"
            )
    held = {REPORT: bundle.report_sha256, VERDICT: bundle.verdict_sha256, PREPROCESSING: bundle.preprocessing_sha256}
    for name, digest in held.items():
        if bundle.files[name] != digest:
            raise Refused(f"{name} in the bundle of {bundle.task} was exchanged; run `panderm export {bundle.task}` again")
