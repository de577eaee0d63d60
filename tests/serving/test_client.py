from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from panderm.core.errors import InputError, ServerError
from panderm.serving.client import Client, Prediction, Protocol, Segmentation
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
    with Client() as client, pytest.raises(InputError, match=r"cannot read .*gone.jpg"):
        client.segment("ham10000_seg", str(tmp_path / "gone.jpg"))


def test_client__unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="unknown protocol 'smtp'; allowed: grpc, http"):
        Client(protocol="smtp")  # type: ignore[arg-type]


def test_prediction__top_is_the_most_probable() -> None:
    answer = Prediction("ham10000", 3, ("bcc", "mel", "nv"), (0.2, 0.5, 0.3))
    assert answer.top == ("mel", 0.5)
    assert answer.as_dict()["probabilities"] == {"bcc": 0.2, "mel": 0.5, "nv": 0.3}


def mask_of(probabilities: np.ndarray) -> Segmentation:
    return Segmentation("ham10000_seg", 2, "lesion", probabilities.astype(np.float32), 40, 20)


def test_segmentation__its_mask_is_the_judged_one_over_the_whole_picture() -> None:
    probabilities = np.full((8, 8), 0.2)
    probabilities[2:6, 2:6], probabilities[4, 4], probabilities[0, 7] = 0.9, 0.1, 0.9  # a hole, and a second piece
    answer = mask_of(probabilities)
    expected = np.zeros((20, 40), dtype=bool)
    expected[5:15, 10:30] = True
    np.testing.assert_array_equal(answer.mask, expected)
    assert answer.share == 0.25
    whole = {"task": "ham10000_seg", "version": 2, "label": "lesion", "share": 0.25, "width": 40, "height": 20}
    assert answer.as_dict() == whole
    assert mask_of(np.full((8, 8), 0.5)).share == 0.0


def test_client__asked_for_the_wrong_thing_says_what_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ham10000": Prediction("ham10000", 1, ("mel", "nv"), (0.5, 0.5)), "ham10000_seg": mask_of(np.zeros((8, 8)))}
    monkeypatch.setattr(Client, "ask", lambda _, task, *__: answers[task])
    with Client() as client:
        assert client.predict("ham10000", b"") is answers["ham10000"]
        assert client.segment("ham10000_seg", b"") is answers["ham10000_seg"]
        with pytest.raises(InputError, match="'ham10000_seg' answers a mask and no class probabilities; ask it with `segment`"):
            client.predict("ham10000_seg", b"")
        with pytest.raises(InputError, match="'ham10000' answers class probabilities and no mask; ask it with `predict`"):
            client.segment("ham10000", b"")


FOREIGN = "broke off or is no Triton server's http port"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer one request with these bytes, over a real connection."""

    def once(listening: socket.socket) -> None:
        connection = listening.accept()[0]
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=once, args=(listening,))
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0\x06\4\0", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"HTTP/1.1 200 OK\r\n\r\n<html>"]
)
def test_client__a_server_that_breaks_off_or_is_no_triton_is_told_in_a_sentence(answer: bytes) -> None:
    """By a real connection: the HTTP client's errors for a broken answer are no OSErrors."""
    with answering(answer) as url, Client(url, "http") as client, pytest.raises(ServerError, match=FOREIGN):
        client.predict("ham10000", b"any bytes")


@pytest.mark.parametrize("told", [b"{}", b"[1]", b"[]"])
def test_client__a_server_that_tells_something_else_is_no_triton(told: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)
    with answering(answer) as url, Client(url, "http") as client:
        if told == b"[]":  # a server without any model is one
            assert client.tasks() == ()
        else:
            with pytest.raises(ServerError, match=FOREIGN):
                client.tasks()
    with answering(answer) as url, Client(url, "http") as client:
        if told == b"{}":  # a model without parameters is one
            assert client.facts("ham10000") == {}
        else:
            with pytest.raises(ServerError, match=FOREIGN):
                client.facts("ham10000")


def test_client__waits_no_longer_for_what_is_served_than_for_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        for ask in (Client.tasks, lambda client: client.facts("ham10000")):
            began = time.monotonic()
            with Client(url, "grpc", timeout=0.5) as client, pytest.raises(ServerError):
                ask(client)
            assert time.monotonic() - began < 5


@pytest.mark.parametrize("url", ["localhost:abc", "127.0.0.1:99999", "https://127.0.0.1:8000", "::1"])
def test_client__a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"is not where a server can be; write --url HOST:PORT"):
        Client(url, "http")
