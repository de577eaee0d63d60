"""One process of a deployment: the code server, the webserver or the daemon (ops/compose.yaml)."""

import argparse
import os
import sys

from dagster_project.instance import prepare_home
from dagster_project.recording import CHECKOUT, prepare_workspace
from panderm.core.layout import Layout

# Only reachable inside the compose network; the one port that is published is bound to loopback there.
_ANY = "0.0.0.0"
_WORKSPACE = str(CHECKOUT / "ops" / "dagster" / "workspace.yaml")
COMMANDS: dict[str, list[str]] = {
    "code": ["dagster", "api", "grpc", "--host", _ANY, "--port", "4000", "--module-name", "dagster_project.definitions"],
    "webserver": ["dagster_webserver", "--host", _ANY, "--port", "3000", "--workspace", _WORKSPACE],
    "daemon": ["dagster._daemon", "run", "--workspace", _WORKSPACE],
}


def main(arguments: list[str] | None = None) -> None:
    """Prepare DAGSTER_HOME and the workspace, then become the named process."""
    parser = argparse.ArgumentParser(prog="python -m dagster_project.service", description=__doc__)
    parser.add_argument("process", choices=list(COMMANDS))
    options = parser.parse_args(arguments)
    layout = Layout.here()
    prepare_home(layout.root)
    prepare_workspace(layout)
    os.chdir(CHECKOUT)
    os.execv(sys.executable, [sys.executable, "-m", *COMMANDS[options.process]])


if __name__ == "__main__":
    main()
