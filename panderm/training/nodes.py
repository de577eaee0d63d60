"""The machines of one training: how many, which one this is, and where they meet.

Settings come first, then torchrun's own variables (PET_*), then Slurm's and those of a Kubernetes Indexed Job. Slurm's are
taken only beside MASTER_ADDR, which a script sets when it means one training on all of its nodes: a command that is typed
inside an allocation of two nodes must not wait for a second one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from panderm.core.errors import ConfigError

_PORT = "29500"  # torchrun's own default
_RANKS = ("PET_NODE_RANK", "SLURM_NODEID", "JOB_COMPLETION_INDEX")
_IDS = ("PET_RDZV_ID", "SLURM_JOB_ID")


class Nodes(NamedTuple):
    """Where this machine stands among those of a training.

    Attributes:
        total: how many machines there are.
        rank: the number of this one, from 0.
        endpoint: ``host:port`` of machine 0; empty for one machine.
        run: what tells this training's meeting from another's at the same endpoint.
    """

    total: int = 1
    rank: int = 0
    endpoint: str = ""
    run: str = "panderm"

    @property
    def first(self) -> bool:
        """Whether this machine leads: it decides, publishes, and its first process writes."""
        return self.rank == 0

    def arguments(self) -> list[str]:
        """Return torchrun's options for the meeting; all are given, so that no variable changes them."""
        if self.total == 1:
            return ["--standalone", "--nnodes=1"]
        return [
            f"--nnodes={self.total}",
            f"--node-rank={self.rank}",
            "--rdzv-backend=static",
            f"--rdzv-endpoint={self.endpoint}",
            f"--rdzv-id={self.run}",
        ]


ONE_NODE = Nodes()


def find_nodes(count: int = 0, rank: int = -1, endpoint: str = "", environment: Mapping[str, str] | None = None) -> Nodes:
    """Return this machine's place, from settings and what they leave open from the environment.

    Args:
        count: of machines; 0 asks the environment, which without a word of it means one.
        rank: of this machine; -1 asks the environment.
        endpoint: ``host:port`` or ``host`` of machine 0; empty asks the environment.
        environment: variables; the process's own by default.

    Raises:
        ConfigError: several machines, and the rank or the endpoint is missing, or a number is not one.
    """
    seen = os.environ if environment is None else environment
    machines = count or _number(seen, *(("PET_NNODES", "SLURM_NNODES") if "MASTER_ADDR" in seen else ("PET_NNODES",))) or 1
    if machines == 1:
        return ONE_NODE
    number = rank if rank >= 0 else _number(seen, *_RANKS)
    if number is None:
        raise ConfigError(
            f"a training on {machines} machines needs to know which one this is; set node_rank or one of {', '.join(_RANKS)}"
        )
    if number >= machines:
        raise ConfigError(f"this is machine {number}, but a training on {machines} machines has 0 to {machines - 1}")
    meeting = endpoint or _endpoint(seen)
    if not meeting:
        raise ConfigError(
            f"a training on {machines} machines needs a place to meet; set endpoint to host:port of machine 0, or MASTER_ADDR"
        )
    return Nodes(machines, number, meeting if ":" in meeting else f"{meeting}:{_PORT}", _first(seen, *_IDS) or "panderm")


def _endpoint(seen: Mapping[str, str]) -> str:
    if meeting := seen.get("PET_RDZV_ENDPOINT"):
        return meeting
    host = _first(seen, "PET_MASTER_ADDR", "MASTER_ADDR")
    return f"{host}:{_first(seen, 'PET_MASTER_PORT', 'MASTER_PORT') or _PORT}" if host else ""


def _first(seen: Mapping[str, str], *names: str) -> str | None:
    return next((seen[name] for name in names if seen.get(name)), None)


def _number(seen: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        if value := seen.get(name):
            if not value.isdigit():
                raise ConfigError(
                    f"{name} is {value!r}, but a whole number is needed (the batch is shared among fixed processes)"
                )
            return int(value)
    return None
