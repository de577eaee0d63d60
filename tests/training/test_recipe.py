from __future__ import annotations

import pytest

from panderm.core.errors import ConfigError
from panderm.training.recipe import Recipe, preset


def test_preset__large_is_the_papers_run() -> None:
    large = preset("large")
    assert large == Recipe()  # every default is the paper's, or the safe one where it is silent
    assert (large.encoder.width, large.encoder.depth, large.encoder.heads, large.encoder.grid) == (1024, 24, 16, 14)
    assert (large.regressor.width, large.regressor.heads, large.regressor.depth) == (1024, 12, 4)
    assert (large.teacher.source, large.teacher.image_size) == ("ViT-L-14-quickgelu@openai", 196)
    assert (large.optimisation.batch, large.optimisation.epochs, large.optimisation.warmup_epochs) == (4 * 480, 500, 20)
    assert large.masking.masked(large.encoder.grid) == 98
    assert (large.preprocessing.size, large.preprocessing.resize) == (224, 256)


@pytest.mark.parametrize("name", ["tiny", "small", "base", "large"])
def test_preset__student_and_teacher_see_one_grid(name: str) -> None:
    recipe = preset(name)  # type: ignore[arg-type]
    patch = {"ViT-L-14-quickgelu@openai": 14, "ViT-B-16-quickgelu@openai": 16}.get(
        recipe.teacher.source, recipe.teacher.random.patch_size
    )
    assert recipe.teacher.image_size == patch * recipe.encoder.grid


def test_preset__overrides_reach_one_key_and_leave_the_rest() -> None:
    changed = preset("large", {"optimisation": {"epochs": 200}, "teacher": {"random": {"seed": 3}}})
    assert (changed.optimisation.epochs, changed.optimisation.learning_rate) == (200, 1.5e-3)
    assert (changed.teacher.random.seed, changed.teacher.source) == (3, "ViT-L-14-quickgelu@openai")


def test_preset__an_unknown_key_is_refused_with_the_keys_there_are() -> None:
    with pytest.raises(ConfigError, match=r"preset tiny with pretrain.overrides: unknown key 'optimisation.epoch'"):
        preset("tiny", {"optimisation": {"epoch": 3}})


def test_preset__a_crop_range_upside_down_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"crop_min 0.9 is above crop_max 0.5"):
        preset("tiny", {"augmentation": {"crop_min": 0.9, "crop_max": 0.5}})


def test_recipe__sampling_is_stored_only_where_it_is_used() -> None:
    assert "sampling" not in preset("tiny").model_dump(mode="json")
    part = preset("tiny", {"sampling": {"fraction": 0.5, "leave_out": ["tbp"]}})
    assert Recipe.parse(part.model_dump(mode="json")) == part
    assert part.model_dump(mode="json")["sampling"]["leave_out"] == ["tbp"]
