"""Triton backend ``onnxruntime`` in Python, for the local server only.

The server's wheel ships the Python backend alone. Laid into ``backends/onnxruntime/model.py``, this file lets it load
models of ``platform: "onnxruntime_onnx"`` unchanged; NVIDIA's container brings the C++ backend of the same name, which
reads the same ``config.pbtxt``. It runs in the server's own environment and imports nothing of ``panderm``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    """One instance of one ONNX model; Triton calls these methods by name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open ``<repository>/<version>/model.onnx`` on the CPU."""
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        options = ort.SessionOptions()
        threads = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value")
        if threads:
            options.intra_op_num_threads = int(threads)
        path = Path(args["model_repository"]) / args["model_version"] / file
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [i.name for i in self.session.get_inputs()]
        self.outputs = [o["name"] for o in config["output"]]
        self.batches = int(config.get("max_batch_size", 0)) > 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests as one batch; if that fails, one by one, so that an error stays with its request."""
        feeds = [{n: pb_utils.get_input_tensor_by_name(r, n).as_numpy() for n in self.inputs} for r in requests]
        if self.batches and len(feeds) > 1:
            try:
                return self._together(feeds)
            except (ort.capi.onnxruntime_pybind11_state.Fail, ort.capi.onnxruntime_pybind11_state.InvalidArgument, ValueError):
                pass
        return [self._alone(feed) for feed in feeds]

    def _together(self, feeds: list[dict[str, np.ndarray]]) -> list[Any]:
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self.inputs}
        ends = np.cumsum([len(feed[self.inputs[0]]) for feed in feeds])[:-1]
        parts = [np.split(output, ends) for output in self.session.run(self.outputs, joined)]
        return [self._response([output[i] for output in parts]) for i in range(len(feeds))]

    def _alone(self, feed: dict[str, np.ndarray]) -> Any:
        try:
            return self._response(self.session.run(self.outputs, feed))
        except (
            ort.capi.onnxruntime_pybind11_state.Fail,
            ort.capi.onnxruntime_pybind11_state.InvalidArgument,
            ort.capi.onnxruntime_pybind11_state.RuntimeException,
        ) as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))

    def _response(self, values: list[np.ndarray]) -> Any:
        tensors = [pb_utils.Tensor(n, np.ascontiguousarray(v)) for n, v in zip(self.outputs, values, strict=True)]
        return pb_utils.InferenceResponse(output_tensors=tensors)
