from __future__ import annotations

import pytest

from panderm.core.errors import ConfigError
from panderm.training.nodes import ONE_NODE, Nodes, find_nodes

SLURM = {"SLURM_NNODES": "2", "SLURM_NODEID": "1", "SLURM_JOB_ID": "77"}


@pytest.mark.parametrize(
    ("environment", "nodes"),
    [
        ({}, ONE_NODE),
        ({"PET_NNODES": "1", "PET_NODE_RANK": "0"}, ONE_NODE),
        (SLURM, ONE_NODE),  # typed inside an allocation, not started as one training
        (SLURM | {"MASTER_ADDR": "node7"}, Nodes(2, 1, "node7:29500", "77")),
        (SLURM | {"MASTER_ADDR": "node7", "MASTER_PORT": "1234"}, Nodes(2, 1, "node7:1234", "77")),
        ({"PET_NNODES": "3", "PET_NODE_RANK": "2", "PET_RDZV_ENDPOINT": "a:1", "MASTER_ADDR": "b"}, Nodes(3, 2, "a:1")),
        ({"PET_NNODES": "2", "JOB_COMPLETION_INDEX": "0", "PET_MASTER_ADDR": "a"}, Nodes(2, 0, "a:29500")),
    ],
)
def test_find_nodes__reads_what_launchers_set(environment: dict[str, str], nodes: Nodes) -> None:
    assert find_nodes(environment=environment) == nodes


def test_find_nodes__settings_come_before_the_environment() -> None:
    seen = SLURM | {"MASTER_ADDR": "node7", "PET_RDZV_ID": "mine"}
    assert find_nodes(4, 3, "other:5", seen) == Nodes(4, 3, "other:5", "mine")
    assert find_nodes(1, environment=seen) == ONE_NODE


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PET_NNODES": "2"}, "on 2 machines needs to know which one this is; set node_rank or one of PET_NODE_RANK"),
        ({"PET_NNODES": "2", "PET_NODE_RANK": "2"}, "this is machine 2, but a training on 2 machines has 0 to 1"),
        ({"PET_NNODES": "2", "PET_NODE_RANK": "0"}, "needs a place to meet; set endpoint to host:port of machine 0"),
        ({"PET_NNODES": "1:4"}, "PET_NNODES is '1:4', but a whole number is needed"),
    ],
)
def test_find_nodes__refuses_what_would_wait_for_ever(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_nodes(environment=environment)


def test_arguments__leave_nothing_to_the_environment() -> None:
    assert ONE_NODE.arguments() == ["--standalone", "--nnodes=1"]
    assert Nodes(2, 1, "a:1", "r").arguments() == [
        "--nnodes=2",
        "--node-rank=1",
        "--rdzv-backend=static",
        "--rdzv-endpoint=a:1",
        "--rdzv-id=r",
    ]
