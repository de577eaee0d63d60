"""What assets are given: the workspace (paths and settings) and DVC, called as a command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import yaml

from panderm.core.config import read_params
from panderm.core.layout import WORKSPACE_VARIABLE, Layout


class Workspace(dg.ConfigurableResource):  # type: ignore[type-arg]
    """One workspace: its paths and the settings of ``params.yaml``.

    Attributes:
        root: the folder; empty means ``$PANDERM_WORKSPACE``, or the current folder.
    """

    root: str = ""

    @property
    def layout(self) -> Layout:
        """Every path of the workspace."""
        return Layout(Path(self.root).resolve()) if self.root else Layout.here()

    def config(self, stage: ModuleType) -> Any:
        """Return a stage module's ``Config``: its defaults, then its section of ``params.yaml``.

        Raises:
            ConfigError: a key is unknown or a value is out of range.
        """
        name = stage.__name__.rpartition(".")[2]
        values = read_params(self.layout.params).get(name) or {}
        return stage.Config.parse(values, where=f"{name} settings")


class Dvc(dg.ConfigurableResource):  # type: ignore[type-arg]
    """DVC in the workspace, by subprocess: its Python interface makes no promise of stability.

    Attributes:
        workspace: where the DVC repository is.
    """

    workspace: dg.ResourceDependency[Workspace]

    @property
    def root(self) -> Path:
        """The DVC repository's folder."""
        return self.workspace.layout.root

    def call(self, *arguments: str) -> str:
        """Run ``dvc --wait-for-lock ARGUMENTS`` in the workspace and return its standard output.

        Raises:
            dg.Failure: DVC ended with an error; the description is the line that says why.
        """
        environment = os.environ | {"DVC_NO_ANALYTICS": "1", WORKSPACE_VARIABLE: str(self.root)}
        # The flag stands before the sub-command: two DVC commands in one repository share a lock with a 3 s timeout.
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
            # Of a file that cannot be parsed the name comes first, and the lines after it quote it.
            told = [line for line in said if line.startswith("ERROR") or "is invalid" in line]
            raise dg.Failure(
                f"dvc {' '.join(arguments[:2])} failed: {(told or said)[-1]}", metadata={"output": "\n".join(said)}
            )
        return done.stdout

    def status(self) -> dict[str, str]:
        """Return what ``dvc status`` finds changed: target -> what changed; empty means clean."""
        found = json.loads(self.call("status", "--json"))
        return {target: json.dumps(changes, sort_keys=True) for target, changes in found.items()}

    def data(self) -> dict[str, Any]:
        """Return what ``data.dvc`` records of ``data/``: ``md5``, ``size`` in bytes, ``nfiles``."""
        recorded = yaml.safe_load((self.root / "data.dvc").read_text())["outs"][0]
        return {name: recorded[name] for name in ("md5", "size", "nfiles")}
