"""One optimiser step of pretraining: targets, loss, gradients, clipping, AdamW, and the figures that tell how it went.

Nothing in a step waits for the device. The figures of step n are copied while step n + 1 is computed and handed out then; a
step whose figures are not finite leaves the weights alone, and so do all that follow it, until the host has seen it and stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from panderm.core.errors import TrainingFailed
from panderm.models.alignment import Losses, MaskedAlignment
from panderm.models.pixels import normalise
from panderm.models.teacher import Teacher
from panderm.training.data import Batch
from panderm.training.parallel import whole
from panderm.training.place import Place
from panderm.training.recipe import Recipe

PARTS = ("loss", "class_token", "visible", "masked", "grad_norm")
"""Names of :attr:`Figures.values`, in their order."""

_NAMED = 8  # images that a message names; they fit a few lines


class Figures(NamedTuple):
    """What one step told.

    Attributes:
        step: its number, from 0.
        values: by :data:`PARTS`; means over all processes.
        by_image: (n,) mean cosine distance of each image of this process.
        rows: (n,) their rows of the corpus.
        everybody: (batch,) rows of the global batch, in its order.
        by_modality: mean cosine distance of each modality that the global batch held, over all processes.
    """

    step: int
    values: dict[str, float]
    by_image: np.ndarray
    rows: np.ndarray
    everybody: np.ndarray
    by_modality: dict[str, float]


class NotFinite(TrainingFailed):
    """A step gave something that is not finite; the weights are those from before it, in every process.

    Args:
        step: its number, from 0.
        message: for the user.
    """

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class _Told(NamedTuple):
    """Figures on their way to the host."""

    step: int
    figures: Tensor
    rows: Tensor
    everybody: Tensor
    there: torch.cuda.Event | None


class Stepper:
    """Takes steps.

    Args:
        recipe: what to compute.
        place: this process.
        model: the student's parameters.
        student: the same, wrapped for several processes or compiled; it is what gets called.
        teacher: gives the targets.
        optimizer: a fused AdamW over ``model``.
        names: of the corpus's rows, for messages.
        modalities: of the corpus's rows; without them :attr:`Figures.by_modality` is empty.
        lag: steps after which figures are handed out; by default 1 on a GPU, 0 on a CPU.
        mark: called with ``start``, ``teacher``, ``forward``, ``backward`` and ``optimizer`` as each is behind (benchmarks).
    """

    def __init__(
        self,
        recipe: Recipe,
        place: Place,
        model: MaskedAlignment,
        student: nn.Module,
        teacher: Teacher,
        optimizer: torch.optim.Optimizer,
        names: np.ndarray,
        lag: int | None = None,
        mark: Callable[[str], None] = lambda _name: None,
        modalities: np.ndarray | None = None,
    ) -> None:
        self.recipe, self.place, self.model, self.student = recipe, place, model, student
        self.teacher, self.optimizer, self.names, self.mark = teacher, optimizer, names, mark
        self.lag = (1 if place.device.type == "cuda" else 0) if lag is None else lag
        found, codes = np.unique(modalities if modalities is not None else [], return_inverse=True)
        self.modalities = [str(name) for name in found]
        self._modality = torch.from_numpy(codes.astype(np.int64)).to(place.device)  # of each row of the corpus
        self._bad = torch.zeros((), device=place.device)
        model.see_part(place.rank, place.world)
        self._on_their_way: deque[_Told] = deque()

    def take(self, step: int, rate: float, batch: Batch) -> list[Figures]:
        """Take step number ``step`` with learning rate ``rate``; return the figures that have arrived.

        Raises:
            NotFinite: a step that has been heard of was not finite; all processes hear of it in the same call.
        """
        torch.manual_seed(_step_seed(self.recipe.seed, step))  # stochastic depth, in every process that of the whole batch
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.mark("start")
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.losses(batch)
        self.mark("forward")
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.mark("backward")
        norm = self._gradient_norm()
        values = torch.stack([*(value.detach() for value in losses[:4]), norm])
        values = self.place.mean(torch.cat([values, self._sums(batch.rows, losses.by_image.detach())]))
        self._update(values, norm)
        self._send(step, torch.cat([values, losses.by_image.detach()]), batch.rows)
        self.mark("optimizer")
        return self._arrived(self.lag)

    def drain(self) -> list[Figures]:
        """Wait for the figures of every step that was taken, and return those not handed out yet; raises as :meth:`take`."""
        return self._arrived(0)

    def losses(self, batch: Batch) -> Losses:
        """Return the losses of a batch, with gradients."""
        device, recipe = self.place.device, self.recipe
        moved = Batch(*(part.to(device, non_blocking=True) for part in batch))
        student = normalise(moved.student, recipe.preprocessing)
        seen = normalise(moved.teacher, self.teacher.preprocessing)
        targets: Tensor = self.teacher(seen)
        self.mark("teacher")
        with self.place.autocast(recipe.optimisation.precision):
            losses: Losses = self.student(student, moved.keep, moved.masked, targets)
        return losses

    def _sums(self, rows: Tensor, by_image: Tensor) -> Tensor:
        """Return the sum of distances of each modality, then how many images each has, (2 * modalities,)."""
        if not self.modalities:
            return by_image.new_zeros(0)
        codes = self._modality[rows.to(self.place.device, non_blocking=True)]
        belongs = (codes.unsqueeze(1) == torch.arange(len(self.modalities), device=codes.device)).float()
        return torch.cat([by_image @ belongs, belongs.sum(0)])

    def _gradient_norm(self) -> Tensor:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        return whole(torch.nn.utils.get_total_norm(gradients))

    def _update(self, values: Tensor, norm: Tensor) -> None:
        """Clip and step, unless this step or one before it was not finite; decided on the device.

        The fused AdamW divides each gradient by ``grad_scale`` as it reads it (so clipping costs no pass of its own) and does
        nothing where ``found_inf`` is 1.
        """
        self._bad = torch.maximum(self._bad, 1 - torch.isfinite(values).all().float())
        optimizer = self.optimizer
        optimizer.grad_scale = ((norm + 1e-6) / self.recipe.optimisation.clip).clamp(min=1.0)  # type: ignore[attr-defined]
        optimizer.found_inf = self._bad  # type: ignore[attr-defined]
        optimizer.step()

    def _send(self, step: int, figures: Tensor, rows: Tensor) -> None:
        everybody = self.place.gathered(rows)
        there = None
        if figures.device.type == "cuda":
            figures, everybody = _leaving(figures), _leaving(everybody)
            there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            there.record()
        self._on_their_way.append(_Told(step, figures, rows, everybody, there))

    def _arrived(self, lag: int) -> list[Figures]:
        arrived = []
        while len(self._on_their_way) > lag:
            told = self._on_their_way.popleft()
            if told.there is not None:
                told.there.synchronize()
            arrived.append(self._checked(told))
        return arrived

    def _checked(self, told: _Told) -> Figures:
        """Return figures; stop on those that are not finite. The weights are those from before that step."""
        found = told.figures.numpy()
        values, sums, counts, by_image = np.split(found, np.cumsum([len(PARTS), *2 * [len(self.modalities)]]))
        rows = told.rows.numpy()
        if not np.isfinite(values).all():
            named = self._blamed(told, by_image)
            names = ", ".join(self.names[row] for row in named[:_NAMED].tolist())
            raise NotFinite(
                told.step,
                f"step {told.step} gave a loss of {float(values[0])} and a gradient norm of {float(values[-1])} on the batch "
                f"{names}{', ...' if len(named) > _NAMED else ''}; the state before it is kept: look at these images, or lower "
                "optimisation.learning_rate or optimisation.clip and go on from it with proceed=true",
            )
        means = zip(self.modalities, sums.tolist(), counts.tolist(), strict=True)
        by_modality = {name: total / count for name, total, count in means if count}
        parts = dict(zip(PARTS, values.tolist(), strict=True))
        return Figures(told.step, parts, by_image, rows, told.everybody.numpy(), by_modality)

    def _blamed(self, told: _Told, by_image: np.ndarray) -> np.ndarray:
        """Return the rows of all processes' images that are not finite themselves, of the whole batch if each image is.

        Every process must ask: the values that brought it here are the same in all.
        """
        fine = self.place.gathered(torch.from_numpy(np.isfinite(by_image)).long()).cpu().numpy().astype(bool)
        everybody = told.everybody.cpu().numpy()
        return everybody if fine.all() else everybody[~fine]


def _leaving(tensor: Tensor) -> Tensor:
    """Return where a tensor of a GPU will be on the host once the device has come so far."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
