"""``config.pbtxt`` of every model of the repository, written through Triton's own protobuf so that no field is mistyped.

Platforms are NVIDIA's names (``onnxruntime_onnx``), instances are left to the server, so that the same folder loads on
CPU here and on a GPU in NVIDIA's container.
"""

from __future__ import annotations

from typing import Any

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError

ModelConfig = dict[str, Any]
"""A model's configuration as Triton's ModelConfig in JSON form."""

IMAGE_BYTES, IMAGE, FEATURE, PROBABILITIES = "image_bytes", "image", "feature", "probabilities"
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


class Batching(FrozenConfig):
    """How requests are joined into batches on the server.

    Attributes:
        max_batch_size: images in one batch; 16 keeps a ViT-L/16 batch under 1 GiB of activations.
        max_queue_delay_microseconds: how long a request waits for company. Measured on 2 cores: 5,000 costs a lone client
            its full 5 ms and gains a compute-bound CPU nothing, so 1,000; raise it on a GPU under load.
    """

    max_batch_size: int = 16
    max_queue_delay_microseconds: int = 1000

    def as_config(self) -> ModelConfig:
        """Return the two fields of a model configuration."""
        delay = {"max_queue_delay_microseconds": str(self.max_queue_delay_microseconds)}
        return {"max_batch_size": self.max_batch_size, "dynamic_batching": delay}


def preprocess(size: int, input_type: str, batching: Batching) -> ModelConfig:
    """Return the preprocessing model: one file's bytes an image -> (3, size, size)."""
    return {
        "backend": "python",
        "input": [{"name": IMAGE_BYTES, "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [{"name": IMAGE, "data_type": _TYPES[input_type], "dims": [3, size, size]}],
        "max_batch_size": batching.max_batch_size,
        "dynamic_batching": {},
    }


def encoder(size: int, input_type: str, width: int, batching: Batching) -> ModelConfig:
    """Return the shared encoder: image -> feature of ``width`` numbers."""
    return _onnx({"name": IMAGE, "data_type": _TYPES[input_type], "dims": [3, size, size]}, (FEATURE, width), batching)


def head(width: int, classes: int, batching: Batching) -> ModelConfig:
    """Return a task's head: feature -> class probabilities, with a labels file."""
    return _onnx({"name": FEATURE, "data_type": "TYPE_FP32", "dims": [width]}, (PROBABILITIES, classes), batching)


def network(size: int, input_type: str, classes: int, batching: Batching) -> ModelConfig:
    """Return a fine-tuned task's whole network: image -> class probabilities, with a labels file."""
    return _onnx({"name": IMAGE, "data_type": _TYPES[input_type], "dims": [3, size, size]}, (PROBABILITIES, classes), batching)


def _onnx(first: dict[str, Any], last: tuple[str, int], batching: Batching) -> ModelConfig:
    output: dict[str, Any] = {"name": last[0], "data_type": "TYPE_FP32", "dims": [last[1]]}
    if last[0] == PROBABILITIES:
        output["label_filename"] = "labels.txt"
    return {"platform": "onnxruntime_onnx", "input": [first], "output": [output], **batching.as_config()}


def ensemble(
    task: str, version: int, components: list[str], *, classes: int, batching: Batching, facts: dict[str, str]
) -> ModelConfig:
    """Return a task's ensemble: one file's bytes an image -> class probabilities.

    Args:
        task: the model's name.
        version: the only version that serves; its folder holds the labels file.
        components: names of the component models in the order an image passes them, preprocessing first.
        classes: number of classes.
        batching: the components' batching.
        facts: texts that the server hands out with the configuration (labels, hashes).
    """
    tensors = [IMAGE_BYTES, IMAGE, *([FEATURE] if len(components) == 3 else []), PROBABILITIES]
    steps = [
        {"model_name": name, "model_version": "1", "input_map": {first: first}, "output_map": {last: last}}
        for name, first, last in zip(components, tensors, tensors[1:], strict=False)
    ]
    output = {"name": PROBABILITIES, "data_type": "TYPE_FP32", "dims": [classes], "label_filename": f"{version}/labels.txt"}
    return {
        "name": task,
        "platform": "ensemble",
        "max_batch_size": batching.max_batch_size,
        "version_policy": {"specific": {"versions": [str(version)]}},
        "input": [{"name": IMAGE_BYTES, "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [output],
        "ensemble_scheduling": {"step": steps},
        "parameters": {key: {"string_value": value} for key, value in sorted(facts.items())},
    }


def to_pbtxt(config: ModelConfig) -> str:
    """Return a configuration as the text of ``config.pbtxt``; an unknown field is our own mistake and raises."""
    from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
    from tritonclient.grpc import model_config_pb2

    text: str = text_format.MessageToString(json_format.ParseDict(config, model_config_pb2.ModelConfig()))
    return text


def from_pbtxt(text: str, where: str) -> ModelConfig:
    """Return the configuration in the text of a ``config.pbtxt``.

    Raises:
        InputError: the text is not a model configuration.
    """
    from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
    from tritonclient.grpc import model_config_pb2

    try:
        message = text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise InputError(f"{where} is not a model configuration ({error}); release the task again") from error
    config: ModelConfig = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return config
