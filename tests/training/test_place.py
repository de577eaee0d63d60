from __future__ import annotations

import pytest
import torch

from panderm.training.place import ALONE, Place, Precision

GPU = Place(0, 1, torch.device("cuda"))


@pytest.mark.parametrize(
    ("place", "precision", "half"),
    [(ALONE, "auto", False), (ALONE, "bf16", True), (ALONE, "fp32", False), (GPU, "auto", True), (GPU, "fp32", False)],
)
def test_half__is_what_was_asked_for_or_what_the_device_is_fast_at(place: Place, precision: Precision, half: bool) -> None:
    assert place.half(precision) is half


@pytest.mark.parametrize(("precision", "dtype"), [("auto", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast__multiplies_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    with ALONE.autocast(precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype
