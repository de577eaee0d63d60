"""Isolation of every test: its own workspace, its own DAGSTER_HOME, no network, no telemetry."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every home at the test's own folder and refuse connections that leave the machine."""
    home = tmp_path / ".dagster_home"
    home.mkdir()
    for name, value in {
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PANDERM_WORKSPACE", "PANDERM_AUTOMATION", "PANDERM_NOTIFY_URL", "DAGSTER_PG_URL"):
        monkeypatch.delenv(name, raising=False)
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            pytest.fail(f"the test tried to connect to {address[0]}; tests run without network")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
