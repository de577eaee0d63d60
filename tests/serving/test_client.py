from __future__ import annotations

from pathlib import Path

import pytest

from panderm.core.errors import InputError, ServerError
from panderm.serving.client import Client, Prediction, Protocol
from panderm.serving.server import free_ports


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_client__without_a_server_says_how_to_start_one(protocol: Protocol) -> None:
    url = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        Client(url, protocol) as client,
        pytest.raises(ServerError, match=f"no Triton server answers at {url} .*`panderm serve`"),
    ):
        client.predict("ham10000", b"any bytes")


def test_client__missing_file_is_named(tmp_path: Path) -> None:
    with Client() as client, pytest.raises(InputError, match=r"cannot read .*gone.jpg \(No such file or directory\)"):
        client.predict("ham10000", tmp_path / "gone.jpg")


def test_client__unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="unknown protocol 'smtp'; allowed: grpc, http"):
        Client(protocol="smtp")  # type: ignore[arg-type]


def test_prediction__top_is_the_most_probable() -> None:
    answer = Prediction("ham10000", 3, ("bcc", "mel", "nv"), (0.2, 0.5, 0.3))
    assert answer.top == ("mel", 0.5)
    assert answer.as_dict()["probabilities"] == {"bcc": 0.2, "mel": 0.5, "nv": 0.3}
