"""Where the local Triton server's own environment is, and how its binary must be started.

The server comes from the nvidia-pytriton wheel (tritonserver 2.51) in ``.venv-triton`` (``make triton``). Its Python
backend runs in that environment too: NumPy 1, ONNX Runtime and the Pillow version that training uses.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from panderm.core.errors import ServerError

ENVIRONMENT_VARIABLE = "PANDERM_TRITON"
_CHECKOUT = Path(__file__).resolve().parents[2]


class TritonEnvironment(NamedTuple):
    """The server's virtual environment.

    Attributes:
        home: the environment's folder.
        server: folder ``tritonserver`` of the wheel, with ``bin/`` and ``backends/``.
        python: its Python's version, ``3.11``.
        libraries: folders of shared libraries: the wheel's own, and ``libpython``'s where the loader does not know it.
    """

    home: Path
    server: Path
    python: str
    libraries: tuple[Path, ...]

    @property
    def binary(self) -> Path:
        """The tritonserver executable."""
        return self.server / "bin" / "tritonserver"

    def variables(self) -> dict[str, str]:
        """Return the process environment in which the server's Python is the one of this environment."""
        values = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        values["PYTHONDONTWRITEBYTECODE"] = "1"  # model folders are immutable
        values["VIRTUAL_ENV"] = str(self.home)
        values["PATH"] = f"{self.home / 'bin'}{os.pathsep}{values.get('PATH', '')}"
        libraries = [*self.libraries, Path(values.get("LD_LIBRARY_PATH", ""))]
        values["LD_LIBRARY_PATH"] = os.pathsep.join(str(path) for path in libraries if str(path) != ".")
        return values

    def lay_backends(self, folder: Path) -> None:
        """Lay out the backend directory: the wheel's Python backend with its stub, and our ``onnxruntime``.

        Files are copied: the server refuses a backend whose real path lies outside its directory.
        """
        shutil.rmtree(folder, ignore_errors=True)
        python, onnx = folder / "python", folder / "onnxruntime"
        python.mkdir(parents=True)
        onnx.mkdir()
        for path in (self.server / "backends" / "python").iterdir():
            if path.is_file():
                shutil.copy(path, python / path.name)
        shutil.copy(self.server / "python_backend_stubs" / self.python / "triton_python_backend_stub", python)
        source = resources.files("panderm.serving") / "triton" / "backend_onnxruntime.py"
        (onnx / "model.py").write_text(source.read_text())


def environment_home() -> Path:
    """Return where the server's environment is looked for: ``$PANDERM_TRITON``, else ``.venv-triton`` of the checkout."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or _CHECKOUT / ".venv-triton").absolute()


def find_environment() -> TritonEnvironment:
    """Find the server's environment.

    Raises:
        ServerError: it is not set up, or has no libpython to run its Python backend with.
    """
    home = environment_home()
    found = sorted(home.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
    if not found:
        raise ServerError(
            f"the Triton server is not set up in {home}; run `make triton`, or name its environment in {ENVIRONMENT_VARIABLE}"
        )
    version = found[0].parents[2].name.removeprefix("python")
    if not (found[0] / "python_backend_stubs" / version).is_dir():
        raise ServerError(
            f"the Triton server has no backend for Python {version}; set .venv-triton up with Python 3.11 or 3.12"
        )
    wheel_libraries = found[0].parents[1] / "nvidia_pytriton.libs"
    return TritonEnvironment(home, found[0], version, (wheel_libraries, *_libpython_folder(home, version)))


def _libpython_folder(home: Path, version: str) -> tuple[Path, ...]:
    code = "import sysconfig; print(sysconfig.get_config_var('LIBDIR') or '')"
    done = subprocess.run([str(home / "bin" / "python"), "-c", code], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip() or "/nonexistent")
    if (folder / f"libpython{version}.so.1.0").is_file():
        return (folder,)
    if ctypes.util.find_library(f"python{version}"):
        return ()
    raise ServerError(
        f"libpython{version}.so.1.0 is not on this machine, but Triton's Python backend needs it; "
        f"install it (Debian, Ubuntu: apt-get install libpython{version})"
    )
