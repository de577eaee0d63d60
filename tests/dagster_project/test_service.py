from __future__ import annotations

import re
from typing import Any

import yaml

from dagster_project.recording import CHECKOUT
from dagster_project.service import COMMANDS

OPS = CHECKOUT / "ops"


def read(name: str) -> Any:
    return yaml.safe_load((OPS / name).read_text())


def test_dagster_yaml__both_forms_differ_in_the_storage_only() -> None:
    postgres, sqlite = read("dagster/dagster.postgres.yaml"), read("dagster/dagster.sqlite.yaml")
    assert postgres.pop("storage") == {"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}}
    assert postgres == sqlite
    assert sqlite["telemetry"] == {"enabled": False}
    assert sqlite["concurrency"]["pools"]["default_limit"] == 1


def test_compose__starts_every_process_there_is_and_publishes_on_loopback_only() -> None:
    services = read("compose.yaml")["services"]
    started = {service["command"][-1] for service in services.values() if "command" in service}
    assert started == set(COMMANDS)
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), f"{name} is open to the network"


def test_compose__names_the_driver_and_the_code_server() -> None:
    environment = read("compose.yaml")["services"]["daemon"]["environment"]
    assert environment["DAGSTER_PG_URL"].startswith("postgresql+psycopg2://"), "sqlalchemy's own default is not installed"
    (location,) = read("dagster/workspace.yaml")["load_from"]
    assert location["grpc_server"]["host"] == {"env": "PANDERM_CODE_HOST"}
    assert environment["PANDERM_CODE_HOST"] in read("compose.yaml")["services"]
    assert str(location["grpc_server"]["port"]) in COMMANDS["code"]


def test_dockerfile__copies_what_exists_and_runs_as_nobody_in_particular() -> None:
    text = (OPS / "code" / "Dockerfile").read_text()
    allowed = [line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        for source in sources:
            assert (CHECKOUT / source).exists(), f"the Dockerfile copies {source}, which is not there"
            assert any(source == name or source.startswith(f"{name}/") for name in allowed), f".dockerignore keeps {source} out"
    assert re.search(r"^USER panderm$", text, re.MULTILINE)
    assert "--require-hashes" in text
