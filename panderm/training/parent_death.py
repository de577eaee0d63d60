"""End when the parent ends: ``python -m panderm.training.parent_death PARENT_PID COMMAND...`` becomes COMMAND.

Linux sends a chosen signal to a process whose parent has gone, also after a ``kill -9``; the setting survives ``exec``,
so that a program we did not write (torchrun) gets it too. On other systems nothing is set and nothing is lost but this.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when process ``parent`` ends; if it is already gone, send it to ourselves now."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
