from __future__ import annotations

import torch

from panderm.models.encoder import EncoderConfig
from panderm.models.upernet import UperNet, taps

SMALL = EncoderConfig(image_size=32, patch_size=8, width=16, depth=6, heads=2)


def test_taps__of_the_papers_encoder_and_of_small_ones() -> None:
    assert taps(24) == (7, 11, 15, 23)
    assert taps(12) == (3, 5, 7, 11)
    assert taps(4) == (0, 1, 2, 3)


def test_size__is_that_of_the_official_network() -> None:
    with torch.device("meta"):
        network = UperNet(EncoderConfig())
    millions = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in network.named_children()}
    assert round(millions["necks"], 1) == 12.6
    head = sum(size for name, size in millions.items() if name not in ("encoder", "necks"))
    assert round(head, 1) == 120.6


def test_pyramid__has_four_scales_and_the_mask_the_image_s() -> None:
    network = UperNet(SMALL, channels=8).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert [tuple(level.shape[1:]) for level in network.pyramid(images)] == [(16, 16, 16), (16, 8, 8), (16, 4, 4), (16, 2, 2)]
    assert network(images).shape == (2, 2, 32, 32)


def test_tapped__the_last_tap_is_the_encoders_own_output() -> None:
    network = UperNet(SMALL, channels=8).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, *_, last = network.encoder.tapped(images, network.taps)
    torch.testing.assert_close(last, network.encoder.tokens(images))
    assert not torch.allclose(first, last)
