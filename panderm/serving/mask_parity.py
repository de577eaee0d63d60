"""How far an exported segmentation network is from the torch one, and its masks from those that evaluation judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from panderm.imaging.masks import THRESHOLD, Mask, marked, overlap
from panderm.models.mask_model import MaskModel
from panderm.serving.bundle import Parity
from panderm.serving.parity import distance
from panderm.serving.runner import Graphs


class MaskImages(NamedTuple):
    """Prepared images, uint8 (N, 3, S, S): the real ones first.

    Attributes:
        pixels: all of them.
        true: (R, S, S) true masks of the first R, in the same order.
        judged: (R,) Jaccard indices that evaluation wrote for the served network's masks of these.
    """

    pixels: NDArray[np.uint8]
    true: Mask
    judged: NDArray[np.float64]


def judged_overlaps(predictions: pd.DataFrame, image_ids: list[str]) -> NDArray[np.float64]:
    """Return the predictions table's Jaccard indices (R,) of the served network for these images."""
    rows: NDArray[np.float64] = predictions.set_index("image_id").loc[image_ids, "jaccard_served"].to_numpy(dtype=np.float64)
    return rows


def measure(model: MaskModel, graphs: Graphs, images: MaskImages, batch_sizes: tuple[int, ...], tolerance: float) -> Parity:
    """Run every image through torch once and through ONNX Runtime at each batch size.

    Args:
        model: the network in torch.
        graphs: its exported graph.
        images: what to run.
        batch_sizes: batch sizes of ONNX Runtime; an odd rest makes one more.
        tolerance: kept in the result; the caller judges.
    """
    expected = model.probabilities(images.pixels)
    probability = judged = 0.0
    agreement = []
    for size in batch_sizes:
        parts = range(0, len(images.pixels), size)
        seen = np.concatenate([graphs.run(images.pixels[start : start + size]).probabilities for start in parts])
        found = [overlap(marked(one), true)[1] for one, true in zip(seen, images.true, strict=False)]
        probability = max(probability, distance(seen, expected))
        judged = max(judged, distance(np.array(found), images.judged))
        agreement.append(float(((seen > THRESHOLD) == (expected > THRESHOLD)).mean()))
    return Parity(
        real_images=len(images.judged),
        random_images=len(images.pixels) - len(images.judged),
        batch_sizes=batch_sizes,
        max_abs_feature=None,
        max_abs_probability=probability,
        max_abs_judged=judged,
        label_agreement=min(agreement),
        tolerance=tolerance,
    )
