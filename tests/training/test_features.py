from __future__ import annotations

import shutil
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from panderm.core.errors import InputError
from panderm.imaging.preprocessing import prepare_bytes
from panderm.imaging.shards import read_image_bytes
from panderm.models.encoder import load_encoder
from panderm.models.pixels import normalise
from panderm.training.features import features

World = Callable[..., SimpleNamespace]


@pytest.fixture
def world(make_task_world: World) -> SimpleNamespace:
    return make_task_world(images=24)


def ask(world: SimpleNamespace, rows: slice = slice(None), **settings: int) -> np.ndarray:
    return features(world.encoder, world.frame.iloc[rows], world.data, world.features, **settings)


def test_features__are_the_class_tokens_in_row_order(world: SimpleNamespace) -> None:
    found = ask(world, slice(None, None, -1), batch=5)
    module, card = load_encoder(world.encoder)
    row = world.frame.iloc[3]
    pixels = prepare_bytes(read_image_bytes(world.data, row["shard"], row["offset"], row["nbytes"]), card.preprocessing)
    with torch.inference_mode():
        expected = module.class_token(normalise(torch.from_numpy(pixels[None]), card.preprocessing))[0]
    assert found.shape == (24, 32)
    np.testing.assert_allclose(found[-4], expected.numpy(), atol=1e-5)


def test_features__only_new_images_are_computed(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(world, slice(0, 10))
    asked: list[int] = []
    from panderm.training import features as module

    real = module.prepared_batches

    def counting(frame, *rest, **named):  # type: ignore[no-untyped-def]
        asked.append(len(frame))
        return real(frame, *rest, **named)

    monkeypatch.setattr(module, "prepared_batches", counting)
    whole = ask(world)
    assert asked == [14]
    np.testing.assert_array_equal(whole[:10], first)
    shutil.rmtree(world.data)
    np.testing.assert_array_equal(ask(world), whole)


def test_features__an_image_that_is_asked_for_twice_stands_twice_and_none_is_no_row(world: SimpleNamespace) -> None:
    whole = ask(world)
    twice = features(world.encoder, world.frame.iloc[[5, 2, 5]], world.data, world.features)
    np.testing.assert_array_equal(twice, whole[[5, 2, 5]])
    assert ask(world, slice(0, 0)).shape == (0, 32)


def test_features__another_encoder_has_its_own(world: SimpleNamespace, make_task_world: World) -> None:
    first = ask(world)
    other = make_task_world(images=24, seed=5)
    assert not np.allclose(ask(other), first)


def test_features__a_damaged_image_is_named(world: SimpleNamespace) -> None:
    shard = world.data / world.frame["shard"].iloc[0]
    place = int(world.frame["offset"].iloc[7])
    data = bytearray(shard.read_bytes())
    data[place : place + 40] = bytes(40)
    shard.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"image img0007 in .*000000\.tar cannot be read: the bytes are not an image"):
        ask(world)


def test_features__a_damaged_cache_says_what_to_do(world: SimpleNamespace) -> None:
    ask(world)
    part = next(world.features.glob("*/part-*.safetensors"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(InputError, match=r"not a part of the feature cache .* remove it, it is made again"):
        ask(world)
