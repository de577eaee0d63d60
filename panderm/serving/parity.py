"""How far the exported graphs are from the torch model, and from what evaluation judged, on the same images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from panderm.models.pixels import normalise
from panderm.models.task_model import TaskModel
from panderm.serving.bundle import Parity
from panderm.serving.runner import Graphs, Outputs


class Images(NamedTuple):
    """Prepared images, uint8 (N, 3, S, S): the real ones first.

    Attributes:
        pixels: all of them.
        judged: (R, C) probabilities that evaluation wrote for the first R, in the same order.
    """

    pixels: np.ndarray
    judged: np.ndarray


def noise(count: int, size: int, seed: int) -> np.ndarray:
    """Return images of uniform noise, uint8 (count, 3, size, size): values that no photo brings together."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def judged_probabilities(predictions: pd.DataFrame, image_ids: list[str], classes: int) -> np.ndarray:
    """Return the predictions table's probabilities (R, C) of these images."""
    columns = [f"p_{index}" for index in range(classes)]
    rows: np.ndarray = predictions.set_index("image_id").loc[image_ids, columns].to_numpy(dtype=np.float64)
    return rows


def measure(model: TaskModel, graphs: Graphs, images: Images, batch_sizes: tuple[int, ...], tolerance: float) -> Parity:
    """Run every image through torch once and through ONNX Runtime at each batch size.

    Args:
        model: the task model in torch.
        graphs: its exported graphs.
        images: what to run.
        batch_sizes: batch sizes of ONNX Runtime; an odd rest makes one more.
        tolerance: kept in the result; the caller judges.
    """
    expected = _torch(model, images.pixels)
    feature = 0.0 if expected.features is not None else None
    probability = judged = 0.0
    agreement = []
    for size in batch_sizes:
        parts = [graphs.run(images.pixels[start : start + size]) for start in range(0, len(images.pixels), size)]
        seen = np.concatenate([part.probabilities for part in parts])
        probability = max(probability, distance(seen, expected.probabilities))
        judged = max(judged, distance(seen[: len(images.judged)], images.judged))
        agreement.append(float((seen.argmax(1) == expected.probabilities.argmax(1)).mean()))
        if expected.features is not None and feature is not None:
            features = np.concatenate([part.features for part in parts if part.features is not None])
            feature = max(feature, distance(features, expected.features))
    return Parity(
        real_images=len(images.judged),
        random_images=len(images.pixels) - len(images.judged),
        batch_sizes=batch_sizes,
        max_abs_feature=feature,
        max_abs_probability=probability,
        max_abs_judged=judged,
        label_agreement=min(agreement),
        tolerance=tolerance,
    )


def distance(left: np.ndarray, right: np.ndarray) -> float:
    """Largest absolute difference; anything that is not a number counts as infinitely far."""
    return float(np.nan_to_num(np.abs(left - right), nan=np.inf).max(initial=0.0))


@torch.inference_mode()
def _torch(model: TaskModel, pixels: np.ndarray) -> Outputs:
    if model.encoder is None:
        return Outputs(None, model.probabilities(pixels))
    features = model.encoder.class_token(normalise(torch.from_numpy(pixels), model.card.preprocessing))
    return Outputs(features.numpy(), model.probabilities(pixels))
