"""One optimiser step: when its figures come, what a bad one leaves behind, and that no flag changes what is computed."""

from __future__ import annotations

import math
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from panderm.core.errors import TrainingFailed
from panderm.models.teacher import build_teacher
from panderm.training.data import Batch
from panderm.training.place import ALONE
from panderm.training.pretrain_worker import build_model, build_optimizer
from panderm.training.recipe import Recipe
from panderm.training.step import Figures, Stepper

NAMES = np.array([f"set/{row:02d}" for row in range(24)])


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(seed: int) -> Batch:
    made = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=made)
    order = torch.stack([torch.randperm(16, generator=made) for _ in range(4)])
    keep, masked = order[:, :8].sort(1).values, order[:, 8:].sort(1).values
    return Batch(pixels, pixels.flip(3), keep, masked, torch.arange(4) + 4 * seed)


def stepper(recipe: Recipe, lag: int = 0, backend: str = "", checkpointing: bool = False) -> Stepper:
    teacher = build_teacher(recipe.teacher, recipe.encoder.grid).placed("fp32", ALONE.device)
    model = build_model(recipe, teacher.width)
    if checkpointing:
        model.checkpoint_activations()
    student: Any = model
    if backend:
        torch.compiler.reset()
        student = torch.compile(model, dynamic=False, fullgraph=True, backend=backend)
        teacher.compile(dynamic=False, fullgraph=True, backend=backend)
    return Stepper(recipe, ALONE, model, student, teacher, build_optimizer(model, recipe.optimisation), NAMES, lag=lag)


def taken(made: Stepper, steps: int) -> list[Figures]:
    told = [figures for step in range(steps) for figures in made.take(step, 1e-3, batch(step))]
    return told + made.drain()


def weights(made: Stepper) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.model.state_dict().items()}


def values(told: list[Figures]) -> list[list[float]]:
    return [list(figures.values.values()) for figures in told]


def shallow(recipe: Recipe) -> Recipe:
    """One block each, and no stochastic depth, whose draws a compiler makes in its own way."""
    tower = recipe.teacher.random.model_copy(update={"layers": 1})
    return recipe.model_copy(
        update={
            "drop_path": 0.0,
            "encoder": recipe.encoder.model_copy(update={"depth": 1}),
            "regressor": recipe.regressor.model_copy(update={"drop_path": 0.0}),
            "teacher": recipe.teacher.model_copy(update={"random": tower}),
        }
    )


def test_take__late_figures_are_the_same_figures(tiny_recipe: Recipe) -> None:
    prompt, late = stepper(tiny_recipe), stepper(tiny_recipe, lag=1)
    assert [len(late.take(step, 1e-3, batch(step))) for step in range(3)] == [0, 1, 1]
    assert [figures.step for figures in late.drain()] == [2]
    told = taken(stepper(tiny_recipe, lag=1), 5)
    assert [figures.step for figures in told] == list(range(5))
    assert values(told) == values(taken(prompt, 5))
    assert told[3].rows.tolist() == [12, 13, 14, 15]


def test_take__figures_hold_each_image(tiny_recipe: Recipe) -> None:
    told = taken(stepper(tiny_recipe), 1)[0]
    assert told.by_image.shape == (4,)
    assert told.by_image.mean() == pytest.approx(told.values["loss"], abs=1e-6)


def test_take__half_precision_is_near_float32_and_leaves_the_weights_in_it(tiny_recipe: Recipe) -> None:
    half = tiny_recipe.model_copy(update={"optimisation": tiny_recipe.optimisation.model_copy(update={"precision": "bf16"})})
    made = stepper(half)
    rounded, exact = (np.array(values(found)) for found in (taken(made, 5), taken(stepper(tiny_recipe), 5)))
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, rtol=0.02)
    kept = [*made.model.parameters(), *(parameter.grad for parameter in made.model.parameters() if parameter.grad is not None)]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


def break_step(made: Stepper, step: int, image: int | None = None) -> None:
    """Make the losses of a step, or of one image in it, not-a-number."""
    real, calls = made.losses, iter(range(100))

    def losses(given: Batch) -> Any:
        found = real(given)
        if next(calls) != step:
            return found
        where = torch.ones(4) if image is None else torch.nn.functional.one_hot(torch.tensor(image), 4)
        return found._replace(total=found.total * math.nan, by_image=torch.where(where.bool(), math.nan, found.by_image))

    made.losses = losses  # type: ignore[method-assign]


@pytest.mark.parametrize("lag", [0, 1])
def test_take__what_is_not_finite_never_touches_the_weights(tiny_recipe: Recipe, lag: int) -> None:
    good, bad = stepper(tiny_recipe), stepper(tiny_recipe, lag=lag)
    taken(good, 2)
    break_step(bad, 2)
    for step in range(2 + lag):
        bad.take(step, 1e-3, batch(step))
    with pytest.raises(
        TrainingFailed, match=r"step 2 gave a loss of nan.*on the batch set/08, set/09, set/10, set/11; the state"
    ):
        bad.take(2 + lag, 1e-3, batch(2 + lag))  # with a lag, the step after the bad one has been taken too
    assert all(torch.equal(value, weights(bad)[name]) for name, value in weights(good).items())
    for mine, theirs in zip(good.optimizer.state.values(), bad.optimizer.state.values(), strict=True):
        assert all(torch.equal(mine[part], theirs[part]) for part in ("step", "exp_avg", "exp_avg_sq"))


def test_take__names_the_one_image_that_is_not_finite(tiny_recipe: Recipe) -> None:
    made = stepper(tiny_recipe)
    break_step(made, 0, image=2)
    with pytest.raises(TrainingFailed, match=r"on the batch set/02; the state"):
        made.take(0, 1e-3, batch(0))


def test_take__clips_as_torch_does_it_in_a_pass_of_its_own(tiny_recipe: Recipe) -> None:
    tight = tiny_recipe.model_copy(update={"optimisation": tiny_recipe.optimisation.model_copy(update={"clip": 0.1})})
    ours, reference = stepper(tight), stepper(tight)
    figures = taken(ours, 1)[0]
    assert figures.values["grad_norm"] > 0.1  # so that there was something to clip
    reference._update = lambda _values, _norm: _plain_update(reference, 0.1)  # type: ignore[method-assign]
    taken(reference, 1)
    for name, value in weights(reference).items():
        torch.testing.assert_close(weights(ours)[name], value, rtol=1e-6, atol=1e-8)


def _plain_update(made: Stepper, clip: float) -> None:
    torch.nn.utils.clip_grad_norm_(made.model.parameters(), clip)
    made.optimizer.step()


def test_checkpointing__gives_the_same_losses_and_gradients(tiny_recipe: Recipe) -> None:
    plain, sparing = stepper(tiny_recipe), stepper(tiny_recipe, checkpointing=True)
    assert values(taken(plain, 3)) == values(taken(sparing, 3))  # with stochastic depth: the same draws twice
    gradients = zip(plain.model.parameters(), sparing.model.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in gradients if a.grad is not None and b.grad is not None)
    assert all(torch.equal(value, weights(sparing)[name]) for name, value in weights(plain).items())


def test_compile__the_student_and_the_teacher_are_one_graph_each(tiny_recipe: Recipe) -> None:
    """As a compiler sees them, run by torch itself; also with checkpointing."""
    recipe = shallow(tiny_recipe)
    plain = values(taken(stepper(recipe), 2))
    for checkpointing in (False, True):
        traced = values(taken(stepper(recipe, backend="aot_eager", checkpointing=checkpointing), 2))
        np.testing.assert_allclose(traced, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler on a CPU")
def test_compile__gives_the_losses_of_the_plain_step(tiny_recipe: Recipe) -> None:
    """In another order of summation, hence the tolerance."""
    recipe = shallow(tiny_recipe)
    plain, compiled = values(taken(stepper(recipe), 3)), values(taken(stepper(recipe, backend="inductor"), 3))
    np.testing.assert_allclose(compiled, plain, rtol=2e-4, atol=2e-5)
