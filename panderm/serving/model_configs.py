"""``config.pbtxt`` of every model of the repository, written through Triton's own protobuf so that no field is mistyped.

Platforms are NVIDIA's names (``onnxruntime_onnx``), instances are left to the server, so that the same folder loads on
CPU here and on a GPU in NVIDIA's container.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError

ModelConfig = dict[str, Any]
"""A model's configuration as Triton's ModelConfig in JSON form."""

IMAGE_BYTES, IMAGE, FEATURE, PROBABILITIES, MASK = "image_bytes", "image", "feature", "probabilities", "mask"
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


class Answer(NamedTuple):
    """What a task's last graph gives.

    Attributes:
        name: of the tensor, which says what its values are; :data:`PROBABILITIES` come with a labels file.
        dims: its shape without the batch.
    """

    name: str
    dims: tuple[int, ...]


def of_classes(count: int) -> Answer:
    """Return the answer of a classifier: a probability a class, which sum to 1."""
    return Answer(PROBABILITIES, (count,))


def of_mask(size: int) -> Answer:
    """Return the answer of a segmentation: the foreground's probability of each pixel of the network's square."""
    return Answer(MASK, (size, size))


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
    return _onnx({"name": IMAGE, "data_type": _TYPES[input_type], "dims": [3, size, size]}, Answer(FEATURE, (width,)), batching)


def head(width: int, classes: int, batching: Batching) -> ModelConfig:
    """Return a task's head: feature -> class probabilities, with a labels file."""
    return _onnx({"name": FEATURE, "data_type": "TYPE_FP32", "dims": [width]}, of_classes(classes), batching)


def network(size: int, input_type: str, answer: Answer, batching: Batching) -> ModelConfig:
    """Return a fine-tuned task's whole network: image -> class probabilities or a mask."""
    return _onnx({"name": IMAGE, "data_type": _TYPES[input_type], "dims": [3, size, size]}, answer, batching)


def _onnx(first: dict[str, Any], last: Answer, batching: Batching) -> ModelConfig:
    output = _output(last, "labels.txt")
    return {"platform": "onnxruntime_onnx", "input": [first], "output": [output], **batching.as_config()}


def _output(answer: Answer, labels: str) -> dict[str, Any]:
    """Return an output's part of a configuration; labels belong to class probabilities alone."""
    output: dict[str, Any] = {"name": answer.name, "data_type": "TYPE_FP32", "dims": list(answer.dims)}
    return output | ({"label_filename": labels} if answer.name == PROBABILITIES else {})


def ensemble(
    task: str, version: int, components: list[str], *, answer: Answer, batching: Batching, facts: dict[str, str]
) -> ModelConfig:
    """Return a task's ensemble: one file's bytes an image -> class probabilities or a mask.

    Args:
        task: the model's name.
        version: the only version that serves; its folder holds the labels file.
        components: names of the component models in the order an image passes them, preprocessing first.
        answer: what the last component gives.
        batching: the components' batching.
        facts: texts that the server hands out with the configuration (labels, hashes).
    """
    tensors = [IMAGE_BYTES, IMAGE, *([FEATURE] if len(components) == 3 else []), answer.name]
    steps = [
        {"model_name": name, "model_version": "1", "input_map": {first: first}, "output_map": {last: last}}
        for name, first, last in zip(components, tensors, tensors[1:], strict=False)
    ]
    return {
        "name": task,
        "platform": "ensemble",
        "max_batch_size": batching.max_batch_size,
        "version_policy": {"specific": {"versions": [str(version)]}},
        "input": [{"name": IMAGE_BYTES, "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [_output(answer, f"{version}/labels.txt")],
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
