"""Errors a user can act on. Each message is one sentence: what was seen, what is allowed, what to do next.

``assert`` stays for our own mistakes; whatever a user, a file or a server can cause is one of these.
"""

from __future__ import annotations


class PanDermError(Exception):
    """Base of every error meant for a user; the command line prints it in one line and exits with ``exit_code``."""

    exit_code = 2


class ConfigError(PanDermError):
    """A configuration key or value is not one the stage knows."""


class InputError(PanDermError):
    """An input (folder, file, key, image) is missing, empty or not what it has to be."""


class Refused(PanDermError):
    """A hand-over was refused: no passing contract, no passing verdict, or parity out of tolerance."""

    exit_code = 3


class TrainingFailed(PanDermError):
    """The training process ended without a finished checkpoint; the message carries the end of its log."""

    exit_code = 4


class FailsAgain(TrainingFailed):
    """The training process ended on an error meant for the user, such as a loss that is no number: it would do so again."""


class ServerError(PanDermError):
    """A Triton server is away, or does not serve what was asked for."""

    exit_code = 5


def one_of(seen: str, allowed: object, what: str, hint: str = "") -> str:
    """Return the house's sentence for a value outside a set: ``unknown source 'x'; allowed: a, b``."""
    names = ", ".join(str(a) for a in allowed) if isinstance(allowed, list | tuple | set | frozenset | dict) else allowed
    return f"unknown {what} {seen!r}; allowed: {names}{'; ' + hint if hint else ''}"
