"""Where a training process stands among its siblings, and on what it computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from panderm.core.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
"""In what a network that trains multiplies; its weights, gradients and optimiser are float32 whatever it is."""


class Place(NamedTuple):
    """One process of a launch.

    Attributes:
        rank: its number over all machines.
        world: how many processes there are.
        device: what it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def half(self, precision: Precision) -> bool:
        """Return whether products are bfloat16 here: where asked for, and with ``auto`` on a GPU."""
        return precision == "bf16" or (precision == "auto" and self.device.type == "cuda")

    def autocast(self, precision: Precision) -> torch.autocast:
        """Return the context in which products are computed in ``precision``."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half(precision))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of ``values`` over all processes."""
        if self.world == 1:
            return values
        summed = values.clone()
        dist.all_reduce(summed)
        return summed / self.world

    def any(self, flag: bool) -> bool:
        """Return whether any process says yes; every process must ask."""
        if self.world == 1:
            return flag
        said = torch.tensor([float(flag)])
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
        return bool(said.item())

    def agreed(self, number: int) -> int:
        """Return the first process's ``number``; every process must ask."""
        if self.world == 1:
            return number
        said = torch.tensor(number, dtype=torch.int64)
        dist.broadcast(said, src=0)
        return int(said.item())

    def gathered(self, values: Tensor) -> Tensor:
        """Return the rows of all processes' ``values`` (n, ...), equally many of each, in the order of their ranks."""
        if self.world == 1:
            return values
        mine = values.to(self.device, non_blocking=True).contiguous()
        everybody = mine.new_empty((self.world * len(mine), *mine.shape[1:]))
        dist.all_gather_into_tensor(everybody, mine)
        return everybody

    def wait(self) -> None:
        """Wait for all processes to come here."""
        self.any(False)


ALONE = Place(0, 1, torch.device("cpu"))
"""The one process of a training that nothing else takes part in, on a CPU."""


@contextmanager
def joined(device: Device, threads: int = 0) -> Iterator[Place]:
    """Join the process group that torchrun describes and leave it at the end; not after an exception.

    Leaving in order waits for the others, which may be gone then or wait themselves; the process ends at once anyway
    (:func:`panderm.training.launch.worker_main`).

    Tensors on a GPU travel by nccl, those on a CPU by gloo; questions between processes are of the second kind, so that no
    GPU has to be waited for.

    Args:
        device: ``auto`` takes a GPU if there is one.
        threads: of torch on the CPU; 0 shares this machine's cores among its processes.

    Raises:
        ConfigError: ``cuda`` was asked for, or more processes than GPUs.
    """
    rank, world, local = (int(os.environ.get(name, fallback)) for name, fallback in _TORCHRUN)
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda and torch.cuda.device_count() <= local:
        raise ConfigError(f"process {local} of this machine has no GPU ({torch.cuda.device_count()} seen); lower `processes`")
    if cuda:
        torch.cuda.set_device(local)
    on_machine = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // on_machine))
    place = Place(rank, world, torch.device("cuda", local) if cuda else torch.device("cpu"))
    if world > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    yield place
    if world > 1:
        dist.destroy_process_group()


_TORCHRUN = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
