"""Torch modules as ONNX graphs: uint8 (or float) images in, normalisation inside, probabilities out, batch dynamic.

Exported by torch's dynamo exporter; traces, paths and names of the exporting machine are taken out, so that the same
weights give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from panderm.core.errors import Refused
from panderm.core.files import write_bytes
from panderm.imaging.preprocessing import Preprocessing
from panderm.models.pixels import normalise
from panderm.serving.bundle import InputType
from panderm.serving.model_configs import FEATURE, IMAGE, MASK, PROBABILITIES

_ONNX_LIMIT = (1 << 31) - 1  # a protobuf message, and so a single-file ONNX model, holds at most 2 GiB


class EncoderGraph(nn.Module):
    """Image -> feature (N, D): the encoder's class token.

    Args:
        encoder: module with ``class_token(images) -> (N, D)`` for normalised images (N, 3, S, S).
        spec: the preprocessing it was trained with.
    """

    def __init__(self, encoder: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.encoder, self.spec = encoder, spec

    def forward(self, image: Tensor) -> Tensor:
        """Return float32 features (N, D)."""
        feature: Tensor = self.encoder.class_token(normalise(image, self.spec))  # type: ignore[operator]
        return feature.to(torch.float32)


class HeadGraph(nn.Module):
    """Feature (N, D) -> class probabilities (N, C).

    Args:
        head: module with ``forward(features) -> logits (N, C)``.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, feature: Tensor) -> Tensor:
        """Return float32 probabilities (N, C)."""
        return torch.softmax(self.head(feature), dim=-1)


class NetworkGraph(nn.Module):
    """Image -> class probabilities (N, C), for a fine-tuned task.

    Args:
        network: module with ``forward(images) -> logits (N, C)`` for normalised images.
        spec: the preprocessing it was trained with.
    """

    def __init__(self, network: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.network, self.spec = network, spec

    def forward(self, image: Tensor) -> Tensor:
        """Return float32 probabilities (N, C)."""
        return torch.softmax(self.network(normalise(image, self.spec)), dim=-1)


class MaskGraph(nn.Module):
    """Image -> probability of the foreground of each pixel (N, S, S), for a segmentation.

    Args:
        network: module with ``forward(images) -> logits (N, 2, S, S)`` for normalised images.
        spec: the preprocessing it was trained with.
    """

    def __init__(self, network: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.network, self.spec = network, spec

    def forward(self, image: Tensor) -> Tensor:
        """Return float32 probabilities (N, S, S)."""
        return torch.softmax(self.network(normalise(image, self.spec)), dim=1)[:, 1]


def example_image(size: int, input_type: InputType) -> Tensor:
    """Return a batch of two images of the graph's input type, to export with."""
    return torch.zeros(2, 3, size, size, dtype=torch.uint8 if input_type == "uint8" else torch.float32)


_OUTPUTS: dict[type[nn.Module], str] = {EncoderGraph: FEATURE, MaskGraph: MASK}


def export_graph(graph: nn.Module, example: Tensor, target: Path, opset: int, facts: dict[str, str]) -> None:
    """Write ``graph`` as a single-file ONNX model with a dynamic batch, whole or not at all.

    Args:
        graph: one of the graphs of this module.
        example: an input with a batch of two.
        target: the file.
        opset: ONNX opset; 18 and 20 load in the servers of the last years.
        facts: texts kept in the model (encoder hash, task, classes).

    Raises:
        Refused: the model does not fit into a single ONNX file (2 GiB).
    """
    names = [FEATURE if isinstance(graph, HeadGraph) else IMAGE]
    outputs = [_OUTPUTS.get(type(graph), PROBABILITIES)]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    if weights > _ONNX_LIMIT:
        raise Refused(f"the weights of {target.name} take {weights:,} bytes; a single ONNX file holds at most {_ONNX_LIMIT:,}")
    with torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            (example,),
            input_names=names,
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    write_bytes(target, _plain(program.model_proto, facts).SerializeToString(deterministic=True))


def _plain(model: onnx.ModelProto, facts: dict[str, str]) -> onnx.ModelProto:
    """Take out what tells of the exporting machine (stack traces with its paths), and put ``facts`` in."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.name, model.doc_string, graph.doc_string = "panderm", "", ""
    for key, value in sorted(facts.items()):
        model.metadata_props.add(key=key, value=value)
    return model
