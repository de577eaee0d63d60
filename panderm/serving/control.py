"""Telling a running server what changed in its repository (explicit mode: it loads what it is told, and says how it went)."""

from __future__ import annotations

from panderm.core.errors import ServerError

LOAD_SECONDS = 300.0
"""How long loading one model may take; a ViT-L encoder from a cold disk is some 10 s."""


def load(url: str, models: tuple[str, ...]) -> None:
    """Load or reload models in order; what served before goes on serving until the new one is ready, or if it fails.

    Args:
        url: the server's gRPC address.
        models: model names, components before the ensemble that uses them.

    Raises:
        ServerError: the server refused a model; the message carries its reason.
    """
    import tritonclient.grpc as api
    from tritonclient.utils import InferenceServerException

    client = api.InferenceServerClient(url)
    try:
        for name in models:
            client.load_model(name, client_timeout=LOAD_SECONDS)
    except InferenceServerException as error:
        reason = " ".join(str(error.message()).split())
        raise ServerError(f"the server at {url} cannot load {name} ({reason})") from error
    finally:
        client.close()


def unload(url: str, models: tuple[str, ...]) -> None:
    """Take models out of a running server.

    Raises:
        ServerError: the server refused.
    """
    import tritonclient.grpc as api
    from tritonclient.utils import InferenceServerException

    client = api.InferenceServerClient(url)
    try:
        for name in models:
            client.unload_model(name)
    except InferenceServerException as error:
        raise ServerError(f"the server at {url} cannot unload {name} ({error.message()})") from error
    finally:
        client.close()
