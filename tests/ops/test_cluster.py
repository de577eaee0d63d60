from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from panderm.cli.pretrain import command
from panderm.core.config import override
from panderm.pretrain import Config
from panderm.training.nodes import Nodes, find_nodes

OPS = Path(__file__).parents[2] / "ops"


def settings(words: list[str]) -> Config:
    """Parse a command line as the command itself does, and return the settings that it gives."""
    assert words[:2] == ["panderm", "pretrain"]
    context = command.make_context("pretrain", list(words[2:]))
    assert isinstance(context, click.Context)
    assert context.params["status_when_stopped"] == 75
    return Config.parse(override({}, context.params["assignments"]))


@pytest.fixture(scope="module")
def kubernetes() -> tuple[dict[str, Any], dict[str, Any]]:
    service, job = yaml.safe_load_all((OPS / "kubernetes" / "pretrain.yaml").read_text())
    return service, job


def test_kubernetes__the_command_and_its_settings_exist(kubernetes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    (container,) = kubernetes[1]["spec"]["template"]["spec"]["containers"]
    config = settings(container["args"])
    assert (config.preset, config.device) == ("large", "cuda")
    assert str(config.processes) == container["resources"]["limits"]["nvidia.com/gpu"]
    (ignored, _) = kubernetes[1]["spec"]["podFailurePolicy"]["rules"]
    assert (ignored["onExitCodes"]["containerName"], ignored["onExitCodes"]["values"]) == (container["name"], [75])


def test_kubernetes__the_pods_find_each_other(kubernetes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    service, job = kubernetes
    name, pod = job["metadata"]["name"], job["spec"]["template"]
    assert (service["kind"], service["spec"]["clusterIP"]) == ("Service", "None")
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    variables = {entry["name"]: entry.get("value", "1") for entry in container["env"]}
    endpoint = f"{name}-0.{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert find_nodes(environment=variables) == Nodes(2, 1, endpoint)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2


def test_kubernetes__what_is_mounted_is_declared(kubernetes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pod = kubernetes[1]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert "persistentVolumeClaim" in volumes[mounts["/workspace"]]
    assert pod["terminationGracePeriodSeconds"] > 60


@pytest.mark.parametrize(("status", "queued"), [(75, "scontrol requeue 20007\n"), (0, ""), (4, "")])
def test_slurm__runs_one_command_on_every_node_and_queues_again_what_was_stopped(
    tmp_path: Path, status: int, queued: str
) -> None:
    script = OPS / "slurm" / "pretrain.sbatch"
    (tmp_path / "srun").write_text(f'#!/bin/sh\necho "$MASTER_ADDR $MASTER_PORT $@" > {tmp_path}/srun.txt\nexit {status}\n')
    (tmp_path / "scontrol").write_text(
        f'#!/bin/sh\n[ "$1" = show ] && printf "node7\\nnode8\\n" || echo "scontrol $@" >> {tmp_path}/scontrol.txt\n'
    )
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_ID": "20007", "SLURM_JOB_NODELIST": "node[7-8]"}
    found = subprocess.run(
        ["bash", str(script)],
        env={**os.environ, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(tmp_path)},
        check=False,
    )
    assert found.returncode == status
    address, port, option, *words = shlex.split((tmp_path / "srun.txt").read_text())
    assert option == "--kill-on-bad-exit=0"
    config = settings(words)
    assert (config.nodes, config.processes, config.preset) == (2, 4, "large")
    seen = {**slurm, "SLURM_NODEID": "1", "MASTER_ADDR": address, "MASTER_PORT": port}
    assert find_nodes(config.nodes, environment=seen) == Nodes(2, 1, f"node7:{port}", "20007")
    assert ((tmp_path / "scontrol.txt").read_text() if queued else "") == queued
    assert (tmp_path / "scontrol.txt").exists() == bool(queued)
