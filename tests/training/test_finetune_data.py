from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from panderm.core.errors import InputError
from panderm.imaging.preprocessing import Preprocessing, prepare
from panderm.training.augment import augment, short_side
from panderm.training.finetune_data import EpochDraws, fitting_batch
from panderm.training.finetune_recipe import FineTuneAugmentation, FineTuneRecipe

SPEC = Preprocessing(size=24, resize=28)


def picture(seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((50, 40), Image.Resampling.BICUBIC)


def test_augment__one_generator_state_one_view() -> None:
    image = short_side(picture(), SPEC)
    views = [augment(image, SPEC, FineTuneAugmentation(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert views[0].shape == (3, 24, 24)
    assert (views[0] == views[1]).all()
    assert (views[0] != views[2]).any()


def test_augment__switched_off_it_is_a_plain_resize() -> None:
    off = FineTuneAugmentation(crop_min=1, crop_max=1, horizontal_flip=0, vertical_flip=0, rotation=0, hue=0)
    square = short_side(picture().crop((0, 0, 40, 40)), SPEC)
    view = augment(square, SPEC, off, np.random.default_rng(0))
    whole = np.asarray(square.resize((24, 24), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(view.astype(int) - whole).mean() < 12  # the crop's aspect is free, its area is not


def test_augment__hue_turns_colours_and_keeps_brightness() -> None:
    only_hue = FineTuneAugmentation(horizontal_flip=0, vertical_flip=0, rotation=0, hue=0.2)
    red = Image.new("RGB", (28, 28), (200, 40, 40))
    views = [augment(red, SPEC, only_hue, np.random.default_rng(seed)) for seed in range(20)]
    assert all(abs(int(view.max()) - 200) <= 2 for view in views)
    assert len({tuple(view[:, 12, 12]) for view in views}) > 10


def test_augment__flips_and_rotation_are_as_frequent_as_asked() -> None:
    flips = FineTuneAugmentation(crop_min=1, horizontal_flip=0.3, vertical_flip=0, rotation=0, hue=0)
    left = Image.fromarray(np.repeat([[[255] * 3] * 14 + [[0] * 3] * 14], 28, axis=0).astype(np.uint8))
    flipped = [augment(left, SPEC, flips, np.random.default_rng(n))[0, 12, 2] < 128 for n in range(400)]
    assert 0.22 < np.mean(flipped) < 0.38
    white = Image.new("RGB", (28, 28), "white")
    darkest = [augment(white, SPEC, FineTuneAugmentation(), np.random.default_rng(seed)).min() for seed in range(10)]
    assert darkest.count(0) > 5  # corners become black


def test_short_side__matches_evaluation() -> None:
    resized = short_side(picture(), SPEC)
    left, top = (resized.width - 24) // 2, (resized.height - 24) // 2
    centre = np.asarray(resized.crop((left, top, left + 24, top + 24))).transpose(2, 0, 1)
    assert (centre == prepare(picture(), SPEC)).all()


def test_epoch_draws__processes_share_the_same_batches() -> None:
    targets = np.array([0] * 30 + [1] * 10)
    recipe = FineTuneRecipe(epochs=3, batch=8)
    whole = list(EpochDraws(targets, recipe, 8))
    halves = [list(EpochDraws(targets, recipe, 8, rank=rank, world=2)) for rank in (0, 1)]
    assert len(whole) == 15
    assert [[*first, *second] for first, second in zip(*halves, strict=True)] == whole


def test_epoch_draws__resumed_it_goes_on_with_the_same_batches() -> None:
    targets = np.arange(20) % 2
    recipe = FineTuneRecipe(epochs=4)
    assert list(EpochDraws(targets, recipe, 4, start=2)) == list(EpochDraws(targets, recipe, 4))[10:]


def test_epoch_draws__weights_make_classes_equal() -> None:
    targets = np.array([0] * 950 + [1] * 50)
    drawn = EpochDraws(targets, FineTuneRecipe(), 10).order(0)
    assert 0.42 < targets[drawn].mean() < 0.58
    plain = EpochDraws(targets, FineTuneRecipe(weighted_sampler=False), 10).order(0)
    assert sorted(plain) == list(range(1000))


def test_fitting_batch__is_even_in_each_process() -> None:
    assert fitting_batch(1000, 128, 1) == 128
    assert fitting_batch(27, 128, 1) == 26
    assert fitting_batch(27, 128, 4) == 24
    with pytest.raises(InputError, match=r"has 3 images .* with 2 process\(es\) needs 4 in a batch"):
        fitting_batch(3, 128, 2)
