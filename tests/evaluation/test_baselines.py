from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from panderm.core.files import read_json
from panderm.evaluation.baselines import HISTOGRAM, PRETRAINED, UNTRAINED, colour_histograms, compare
from panderm.evaluation.figures import Resampling
from panderm.models.encoder import load_card
from panderm.tasks.linear_probe import LinearProbeRecipe

World = Callable[..., SimpleNamespace]


def test_compare__three_models_on_the_same_images(make_task_world: World) -> None:
    world = make_task_world("isic2024", images=90, signal=80, seed=3)
    out = world.root / "reports"
    folders = (world.split, world.data, world.encoder, world.features, out)
    result = compare(world.task, *folders, recipe=LinearProbeRecipe(max_iter=40), how=Resampling(replicates=100), seed=3)
    assert list(result["models"]) == [HISTOGRAM, UNTRAINED, PRETRAINED]
    assert result["models"][HISTOGRAM]["value"] > 0.9  # colour tells the class
    # the "pretrained" encoder of this world is the untrained one of the same seed
    assert result["pretrained_minus"][UNTRAINED] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert read_json(out / "isic2024.json") == result
    text = (out / "isic2024.md").read_text()
    assert "| untrained encoder |" in text
    assert "+0.000 (+0.000 to +0.000)" in text


def test_compare__the_untrained_encoder_is_made_once_and_seeded(make_task_world: World) -> None:
    world = make_task_world(images=60)
    folders = (world.split, world.data, world.encoder, world.features, world.root / "reports")
    for seed in (1, 1, 2):
        compare(world.task, *folders, recipe=LinearProbeRecipe(max_iter=5), how=Resampling(replicates=100), seed=seed)
    cards = [load_card(path) for path in sorted((world.root / ".work" / "untrained").iterdir())]
    assert len(cards) == 2
    assert cards[0].sha256 != cards[1].sha256
    assert all(card.steps == 0 for card in cards)


def test_colour_histograms__have_length_one_and_see_colour(make_task_world: World) -> None:
    world = make_task_world(images=12, signal=80)
    rows = colour_histograms(world.frame, world.data, world.spec)
    assert rows.shape == (12, 512)
    np.testing.assert_allclose((rows**2).sum(axis=1), 1, atol=1e-12)
    near, far = rows[0] @ rows[1], rows[0] @ rows[3]  # one patient, and a patient of the other class
    assert near > far
    assert near == pytest.approx(1, abs=0.7)
