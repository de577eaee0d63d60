"""``make ui``: Dagster's page and daemon on the instance that the demo used."""

import argparse
import os
import signal
import sys
from pathlib import Path

from dagster_project.instance import prepare_home
from panderm.core.layout import WORKSPACE_VARIABLE, Layout

CHECKOUT = Path(__file__).parents[1]


def main(arguments: list[str] | None = None) -> None:
    """Replace this process by ``dagster dev`` on loopback."""
    parser = argparse.ArgumentParser(prog="python -m dagster_project.ui", description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="port on loopback [default: 3000, Dagster's own]")
    options = parser.parse_args(arguments)
    layout = Layout.here()
    os.environ[WORKSPACE_VARIABLE] = str(layout.root)
    prepare_home(layout.root)
    # Started in the background by a script, SIGINT is ignored from birth, and Dagster stops on nothing else.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(CHECKOUT)  # [tool.dagster] in pyproject.toml names the code location
    print(f"http://127.0.0.1:{options.port} (workspace {layout.root}); Ctrl-C ends it", flush=True)
    command = [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(options.port)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
