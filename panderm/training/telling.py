"""What a training process says on its way: a few lines a minute from the first process, none from the others."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from panderm.training.place import Place


class Teller:
    """Print progress lines.

    Args:
        speaks: whether this process does.
        every: seconds between two lines.
        steps: of the whole run.
        batch: images a step, over all processes.
    """

    def __init__(self, speaks: bool, every: float, steps: int, batch: int) -> None:
        self.speaks, self.every, self.steps, self.batch = speaks, every, steps, batch
        self._last = time.monotonic()
        self._since: list[tuple[float, float]] = []  # (seconds, share waiting) of each step since the last line

    def say(self, line: str) -> None:
        """Print a line now; that nobody listens any more (the launcher was killed) does not end a training, SIGTERM does."""
        if self.speaks:
            with suppress(OSError):
                print(line, flush=True)

    def begin(self, step: int, images: int, teacher: str, place: Place) -> None:
        """Say what is about to happen."""
        where = f"{place.world} process(es) on {place.device.type}"
        self.say(f"pretraining on {images} images, {self.steps} steps of {self.batch}, {where}; teacher: {teacher}")
        if step:
            self.say(f"going on after step {step} from the saved state")

    def tell(self, line: dict[str, Any]) -> None:
        """Take in a step's metrics, and print a line if it is time."""
        self._since.append((line["seconds"], line["data_wait"]))
        if time.monotonic() - self._last < self.every and line["step"] < self.steps:
            return
        spent = sum(seconds for seconds, _ in self._since)
        waiting = sum(seconds * share for seconds, share in self._since) / spent
        rate = self.batch * len(self._since) / spent
        left = (self.steps - line["step"]) * self.batch / rate
        self.say(
            f"step {line['step']}/{self.steps} epoch {line['epoch'] + 1} loss {line['loss']:.4f} "
            f"(class {line['class_token']:.4f}, visible {line['visible']:.4f}, masked {line['masked']:.4f}) "
            f"lr {line['learning_rate']:.2e} grad {line['grad_norm']:.2f} {rate:.0f} img/s data wait {waiting:.0%} "
            f"left {_clock(left)}"
        )
        self._since.clear()
        self._last = time.monotonic()

    def end(self, step: int) -> None:
        """Say how it ended."""
        done = step == self.steps
        self.say("pretraining finished" if done else f"stopped on request after step {step}; the same command goes on")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
