"""Triton model ``preprocess_*``: the bytes of a JPEG or PNG file in, the network's input out.

A release copies this file beside ``preprocessing.py`` (verbatim from the library) and ``preprocessing.json`` (written
at training time), so that what serves is what trained. It imports nothing of ``panderm``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

_HERE = Path(__file__).resolve().parent


class TritonPythonModel:
    """One instance; Triton calls these methods by name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the preprocessing description that lies beside this file."""
        sys.path.insert(0, str(_HERE))
        import preprocessing  # type: ignore[import-not-found]

        self.library = preprocessing
        self.spec = preprocessing.Preprocessing.from_json((_HERE / "preprocessing.json").read_text())
        output = json.loads(args["model_config"])["output"][0]
        self.output, self.dtype = output["name"], pb_utils.triton_string_to_numpy(output["data_type"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: one bad image spoils its own request and no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        files = pb_utils.get_input_tensor_by_name(request, "image_bytes").as_numpy().reshape(-1)
        try:
            images = np.stack([self.library.prepare_bytes(bytes(data), self.spec) for data in files])
        except self.library.UndecodableImage as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(self.output, images.astype(self.dtype))])
