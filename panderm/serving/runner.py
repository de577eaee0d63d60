"""A bundle run in this process by ONNX Runtime: what parity is measured on, and how a champion is judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panderm.core.errors import InputError
from panderm.imaging.preprocessing import prepare_bytes
from panderm.serving.bundle import load_bundle, load_preprocessing


class Outputs(NamedTuple):
    """What a bundle says of N images.

    Attributes:
        features: (N, D) float32, None for a whole network.
        probabilities: (N, C) float32, rows sum to 1; of a mask the foreground's of each pixel, (N, S, S).
    """

    features: np.ndarray | None
    probabilities: np.ndarray


class Graphs:
    """The ONNX files of one bundle, opened on the CPU.

    Args:
        files: encoder and head, or one whole network, in the order an image passes them.
        threads: threads of one operator; 0 leaves it to ONNX Runtime (all cores).

    Raises:
        InputError: a file is missing or no ONNX model.
    """

    def __init__(self, files: tuple[Path, ...], threads: int = 0) -> None:
        self.sessions = [_session(path, threads) for path in files]
        first = self.sessions[0].get_inputs()[0]
        self.dtype = np.uint8 if "uint8" in first.type else np.float32

    def run(self, images: np.ndarray) -> Outputs:
        """Run prepared images, uint8 (N, 3, S, S)."""
        values = images.astype(self.dtype)
        feature = None
        for session in self.sessions:
            feature, values = values, session.run(None, {session.get_inputs()[0].name: values})[0]
        return Outputs(feature if len(self.sessions) == 2 else None, values)


class BundleRunner:
    """A bundle folder, ready to answer as the server would.

    Attributes:
        bundle: its card.
        spec: its preprocessing description.

    Args:
        folder: a bundle, or a released version's ``bundle/`` (``serving.repository.champion_bundle``).
        threads: threads of one operator; 0 means all cores.

    Raises:
        InputError: the folder holds no bundle, or a graph is damaged.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.bundle = load_bundle(folder)
        self.spec = load_preprocessing(folder)
        self._graphs = Graphs(tuple(folder / name for name in self.bundle.graphs), threads)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return class probabilities (N, C), or a mask's (N, S, S), of prepared images, uint8 (N, 3, S, S)."""
        return self._graphs.run(images).probabilities

    def predict(self, data: bytes) -> np.ndarray:
        """Return class probabilities (C,), or a mask's (S, S), of an image file's bytes, the path a served image takes.

        Raises:
            UndecodableImage: the bytes are not an image we accept.
        """
        answer: np.ndarray = self.probabilities(prepare_bytes(data, self.spec)[None])[0]
        return answer


def _session(path: Path, threads: int) -> Any:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (states.NoSuchFile, states.InvalidProtobuf, states.InvalidGraph, states.Fail, states.InvalidArgument) as error:
        raise InputError(f"{path} is not a readable ONNX model; run `panderm export` for its task again") from error
