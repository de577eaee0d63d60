"""A local ``tritonserver`` on loopback, in explicit model-control mode: started, found again, stopped.

One server a workspace: ``.work/triton/server.json`` says where it listens, so that a release can tell it what to load.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path

from panderm.core.errors import ServerError
from panderm.core.files import write_json
from panderm.serving.environment import TritonEnvironment, find_environment
from panderm.serving.repository import served_tasks

HOST = "127.0.0.1"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
READY_SECONDS = 120.0
"""How long a start may take; measured 2 to 8 s for small models, a ViT-L encoder on a cold disk takes longer."""
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class RunningServer:
    """A server that was started: where it listens and which process it is.

    Attributes:
        pid: the server's process id and process group.
        http_port: port of the HTTP protocol on loopback.
        grpc_port: port of the gRPC protocol on loopback.
        metrics_port: port of the Prometheus metrics on loopback.
        repository: the model repository it serves.
        log: its log file.
    """

    pid: int
    http_port: int
    grpc_port: int
    metrics_port: int
    repository: str
    log: str

    @property
    def grpc_url(self) -> str:
        """``host:port`` for gRPC clients."""
        return f"{HOST}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """``host:port`` for HTTP clients."""
        return f"{HOST}:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """``host:port/metrics`` of the Prometheus metrics."""
        return f"{HOST}:{self.metrics_port}/metrics"

    @property
    def alive(self) -> bool:
        """Whether that process is still a tritonserver (a dead or foreign process id is not)."""
        with contextlib.suppress(OSError):
            return b"tritonserver" in Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")[0]
        return False

    def get(self, path: str) -> int:
        """Return the HTTP status of ``GET path``, or 0 if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://{self.http_url}{path}", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, HTTPException):  # nobody there, or one who speaks no HTTP
            return 0

    def tail(self) -> str:
        """Return the last line of the log that tells of an error, else its last line."""
        lines = [line for line in Path(self.log).read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("E") or "error:" in line.lower()]
        return (errors or lines or ["the log is empty"])[-1]


def server_folder(work: Path) -> Path:
    """Return where a workspace keeps its server's state, backends and log."""
    return work / "triton"


def running(work: Path) -> RunningServer | None:
    """Return the workspace's server if its process lives; a stale state file counts as none."""
    path = server_folder(work) / "server.json"
    try:
        server = RunningServer(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return server if server.alive else None


def start(repository: Path, work: Path, http_port: int | None = None, grpc_port: int | None = None) -> RunningServer:
    """Start a server for ``repository`` and wait until it answers.

    A port that is not named is the usual one (8000, 8001, 8002), or any free one if that is taken. Servers of one machine
    start one after the other: Triton binds its ports seconds after they were found free, and two may bind the same HTTP port.

    Raises:
        ServerError: one is running already, a named port is taken, the environment is missing, or the server did not
            come up; the message then carries the end of its log.
    """
    if (former := running(work)) is not None:
        raise ServerError(
            f"a server already runs on {former.grpc_url} (process {former.pid}); stop it with `panderm serve --stop`"
        )
    environment = find_environment()
    folder = server_folder(work)
    for needed in (folder, repository):
        try:
            needed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ServerError(f"cannot write {needed} ({error.strerror}); choose a folder you may write to") from error
    environment.lay_backends(folder / "backends")
    with _one_at_a_time():
        return _start_on(_choose_ports(http_port, grpc_port), environment, repository, work)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold a lock that every user of this machine can take; it ends with the process."""
    place = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _start_on(ports: tuple[int, int, int], environment: TritonEnvironment, repository: Path, work: Path) -> RunningServer:
    folder = server_folder(work)
    log = folder / "server.log"
    command = [str(environment.binary), *_arguments(repository, folder / "backends", ports)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment.variables(),
            start_new_session=True,
        )
    server = RunningServer(process.pid, *ports, str(repository), str(log))
    write_json(folder / "server.json", asdict(server))  # before the wait: whoever is killed now can still be found and stopped
    try:
        _wait_until_ready(server, process)
    except BaseException:
        stop(work)
        raise
    return server


def stop(work: Path) -> RunningServer | None:
    """Stop the workspace's server with all its processes; return it, or None if none ran."""
    server = running(work)
    (server_folder(work) / "server.json").unlink(missing_ok=True)
    if server is not None:
        _terminate(server)
    return server


def forget(work: Path, server: RunningServer) -> bool:
    """Remove the state file of a server that ended by itself; False if ``panderm serve --stop`` had removed it."""
    path = server_folder(work) / "server.json"
    try:
        noted = RunningServer(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return False
    if noted.pid != server.pid:
        return False
    path.unlink()
    _clear_shared_memory(server)
    return True


def _arguments(repository: Path, backends: Path, ports: tuple[int, int, int]) -> list[str]:
    http, grpc, metrics = ports
    return [
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={task}" for task in served_tasks(repository)),
        "--disable-auto-complete-config",
        "--exit-on-error=false",  # one damaged task must not take the others away
        "--strict-readiness=false",
        f"--exit-timeout-secs={int(STOP_SECONDS) - 5}",
        f"--http-address={HOST}",
        f"--http-port={http}",
        f"--grpc-address={HOST}",
        f"--grpc-port={grpc}",
        f"--metrics-address={HOST}",
        f"--metrics-port={metrics}",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory_prefix(http)}",
    ]


def _shared_memory_prefix(http_port: int) -> str:
    return f"panderm_{http_port}_"


def _choose_ports(http: int | None, grpc: int | None) -> tuple[int, int, int]:
    chosen: list[int] = []
    spare = free_ports(3)
    for named, usual, free in zip((http, grpc, None), (HTTP_PORT, GRPC_PORT, METRICS_PORT), spare, strict=True):
        if named is not None and (named in chosen or not _is_free(named)):
            raise ServerError(f"port {named} is taken; name another, or none to let a free one be chosen")
        chosen.append(named or (usual if usual not in (http, grpc, *chosen) and _is_free(usual) else free))
    return chosen[0], chosen[1], chosen[2]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return ``count`` different ports of loopback that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return tuple(int(probe.getsockname()[1]) for probe in probes)


def _wait_until_ready(server: RunningServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"the Triton server ended at once ({server.tail()}); its whole log is {server.log}")
        if server.get("/v2/health/ready") == 200:
            return
        time.sleep(0.1)
    raise ServerError(
        f"the Triton server was not ready within {READY_SECONDS:.0f} s ({server.tail()}); its log is {server.log}"
    )


def _terminate(server: RunningServer) -> None:
    """End the whole process group: first asked, then killed; what it left in shared memory goes too."""
    deadline = time.monotonic() + STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        while time.monotonic() < deadline and server.alive:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(server.pid, os.WNOHANG)
            time.sleep(0.05)
        os.killpg(server.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # a detached server is not this process's child
        os.waitpid(server.pid, 0)
    _clear_shared_memory(server)


def _clear_shared_memory(server: RunningServer) -> None:
    for left in Path("/dev/shm").glob(f"{_shared_memory_prefix(server.http_port)}*"):
        left.unlink(missing_ok=True)
