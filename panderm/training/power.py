"""What a GPU draws while it works: asked once a second, by a thread that keeps out of the way."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
from types import TracebackType
from typing import Self

import torch

_EVERY = 1.0  # seconds between two readings; asking takes a tenth of that


class PowerMeter:
    """Reads the draw of one GPU while the body of ``with`` runs.

    Args:
        device: the GPU; on a CPU nothing is read.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.readings: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def watts(self) -> float | None:
        """Mean draw, None where nothing told it."""
        return statistics.fmean(self.readings) if self.readings else None

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _read(self) -> None:
        while (watts := draw(self.device)) is not None:
            self.readings.append(watts)
            if self._done.wait(_EVERY):
                return


def draw(device: torch.device) -> float | None:
    """Return what a GPU draws now, watts; None without nvidia-smi, or where the board does not tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    which = f"GPU-{torch.cuda.get_device_properties(device).uuid}"  # numbers differ under CUDA_VISIBLE_DEVICES
    asked = [program, "--query-gpu=power.draw", "--format=csv,noheader,nounits", "-i", which]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
        return float(told)
    except (subprocess.TimeoutExpired, ValueError):  # "[N/A]": the board does not tell
        return None
