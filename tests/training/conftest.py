"""Small training processes written into the test's own folder, so that a launch can be watched without a network in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def toy_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write ``toy.py`` with the given body of ``run(config)``; return the name to launch it by."""

    def write(body: str) -> str:
        lines = "\n".join("    " + line for line in body.splitlines())
        (tmp_path / "toy.py").write_text(
            "import os, signal, sys, time\nfrom pathlib import Path\n"
            "from panderm.core.errors import InputError\nfrom panderm.training.launch import worker_main\n"
            f"def run(config):\n{lines}\nif __name__ == '__main__':\n    worker_main(run)\n"
        )
        return "toy"

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return write
