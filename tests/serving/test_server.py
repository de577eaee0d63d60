from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from panderm.core.errors import ServerError
from panderm.core.files import write_json, write_text
from panderm.serving import server
from panderm.serving.environment import ENVIRONMENT_VARIABLE

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, plain and as an IPv6 address, as the kernel writes it


def test_start__without_its_environment_says_make_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ServerError, match=r"not set up in .*nowhere; run `make triton`"):
        server.start(tmp_path / "triton_repo", tmp_path / ".work")


def test_running__stale_state_is_no_server(tmp_path: Path) -> None:
    state = {"pid": 1, "http_port": 1, "grpc_port": 2, "metrics_port": 3, "repository": "r", "log": "l"}
    write_json(tmp_path / "triton" / "server.json", state)
    assert server.running(tmp_path) is None
    assert server.stop(tmp_path) is None
    assert not (tmp_path / "triton" / "server.json").exists()


@pytest.mark.parametrize("noted", ["", "{", "[]", '{"pid": 1}'])
def test_forget__a_damaged_state_file_is_nobodys(tmp_path: Path, noted: str) -> None:
    write_text(tmp_path / "triton" / "server.json", noted)
    assert not server.forget(tmp_path, server.RunningServer(1, 1, 2, 3, "r", "l"))


def test_get__one_who_speaks_no_http_is_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def once() -> None:
            with listening.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"SSH-2.0\r\n")

        thread = threading.Thread(target=once)
        thread.start()
        assert server.RunningServer(1, port, 2, 3, "r", str(tmp_path / "log")).get("/v2/health/ready") == 0
        thread.join()


def test_choose_ports__named_but_taken_is_refused() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {taken} is taken"):
            server._choose_ports(taken, None)


def test_choose_ports__usual_but_taken_falls_back_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_is_free", lambda port: port not in (server.HTTP_PORT, server.GRPC_PORT))
    http, grpc, metrics = server._choose_ports(None, None)
    assert len({http, grpc, metrics}) == 3
    assert http != server.HTTP_PORT
    assert grpc != server.GRPC_PORT


@pytest.mark.triton
@pytest.mark.slow
def test_start__second_one_in_a_workspace_is_refused(triton: server.RunningServer, workspace: Path) -> None:
    with pytest.raises(ServerError, match=f"a server already runs on {triton.grpc_url}"):
        server.start(Path(triton.repository), workspace / ".work")


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.usefixtures("triton")  # skips where there is no Triton
def test_start__two_at_the_same_moment_share_no_port(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "other")]
    with ThreadPoolExecutor(2) as together:
        started = list(together.map(lambda place: server.start(place / "triton_repo", place / ".work"), places))
    try:
        ports = [port for one in started for port in (one.http_port, one.grpc_port, one.metrics_port)]
        assert len(set(ports)) == 6
        assert all(_listening_addresses(port) for port in ports)
    finally:
        for place in places:
            server.stop(place / ".work")


@pytest.mark.triton
@pytest.mark.slow
def test_server__listens_on_loopback_only(triton: server.RunningServer) -> None:
    for port in (triton.http_port, triton.grpc_port, triton.metrics_port):
        addresses = _listening_addresses(port)
        assert addresses, f"nobody listens on port {port}"
        assert addresses <= LOOPBACK, f"port {port} listens on {addresses}"


def _listening_addresses(port: int) -> set[str]:
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
