"""A small client: the bytes of an image in, class probabilities with labels, or a mask, and the answering version out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import numpy as np

from panderm.core.errors import InputError, PanDermError, ServerError, one_of
from panderm.serving.model_configs import IMAGE_BYTES, MASK, PROBABILITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from panderm.imaging.masks import Mask

Protocol = Literal["grpc", "http"]
DEFAULT_URLS: dict[Protocol, str] = {"grpc": "127.0.0.1:8001", "http": "127.0.0.1:8000"}
_COMPONENT = re.compile(r"_[0-9a-f]{8}$")  # components are named by their content, tasks are not
_ENSEMBLE = re.compile(r"^(\[request id: [^]]*\] )?in ensemble '[^']*', ")


@dataclass(frozen=True)
class Prediction:
    """A server's answer for one image.

    Attributes:
        task: the task that was asked.
        version: the release that answered.
        labels: class labels in index order.
        probabilities: one a label, 0..1, summing to 1.
    """

    task: str
    version: int
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def top(self) -> tuple[str, float]:
        """The most probable label and its probability."""
        best = int(np.argmax(self.probabilities))
        return self.labels[best], self.probabilities[best]

    @property
    def in_words(self) -> str:
        """The answer in a line: the most probable label and its probability."""
        label, probability = self.top
        return f"{label} {probability:.4f}"

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        pairs = dict(zip(self.labels, self.probabilities, strict=True))
        return {"task": self.task, "version": self.version, "label": self.top[0], "probabilities": pairs}


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A server's mask for one image.

    Attributes:
        task: the task that was asked.
        version: the release that answered.
        label: what the mask marks.
        probabilities: that a pixel is of it, (S, S), 0..1; the network's square over the whole picture, squeezed.
        width: of the picture as it is looked at, upright, pixels.
        height: likewise.
    """

    task: str
    version: int
    label: str
    probabilities: NDArray[np.float32]
    width: int
    height: int

    @cached_property
    def mask(self) -> Mask:
        """The mask (height, width): as it was judged, each pixel by the nearest of the network's square."""
        from panderm.imaging.masks import marked, unsqueezed

        return unsqueezed(marked(self.probabilities), self.width, self.height)

    @property
    def share(self) -> float:
        """How much of the picture is marked, 0..1."""
        return float(self.mask.mean())

    @property
    def in_words(self) -> str:
        """The answer in a line: how much of the picture is marked, or that nothing was found."""
        return f"{self.label} on {self.share:.1%} of the picture" if self.mask.any() else f"no {self.label} found"

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values, without the mask."""
        size = {"width": self.width, "height": self.height}
        return {"task": self.task, "version": self.version, "label": self.label, "share": self.share, **size}


class Client:
    """Asks a Triton server that serves this project's model repository; usable as a context manager.

    Args:
        url: ``host:port``; by default loopback with Triton's usual port of the protocol.
        protocol: ``grpc`` or ``http``.
        timeout: seconds that one answer may take; 30 covers a ViT-L on two CPU cores twenty times over.

    Raises:
        InputError: an unknown protocol, or a url that is none.
    """

    def __init__(self, url: str | None = None, protocol: Protocol = "grpc", timeout: float = 30.0) -> None:
        if protocol not in DEFAULT_URLS:
            raise InputError(one_of(protocol, list(DEFAULT_URLS), "protocol"))
        self.url = (url or DEFAULT_URLS[protocol]).removeprefix("http://").removeprefix("grpc://").rstrip("/")
        self.protocol = protocol
        self._timeout = timeout
        self._labels: dict[tuple[str, int], tuple[str, ...]] = {}
        self._api: Any
        if protocol == "grpc":
            import tritonclient.grpc as api
        else:
            import tritonclient.http as api
        self._api = api
        options = {} if protocol == "grpc" else {"connection_timeout": timeout, "network_timeout": timeout}
        if protocol == "http":
            _check(self.url)
        self._client = api.InferenceServerClient(self.url, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def tasks(self) -> tuple[str, ...]:
        """Return the tasks that the server has ready, sorted.

        Raises:
            ServerError: no server answers.
        """
        with self._speaking():
            index = self._client.get_model_repository_index(**self._limit)
        rows = index if self.protocol == "http" else [{"name": m.name, "state": m.state} for m in index.models]
        if not (isinstance(rows, list) and all(isinstance(row, dict) and "name" in row for row in rows)):
            raise self._foreign(f"a list of models that reads {str(rows)[:40]}")
        ready = {row["name"] for row in rows if row.get("state") == "READY"}
        return tuple(sorted(name for name in ready if not _COMPONENT.search(name)))

    def facts(self, task: str) -> dict[str, str]:
        """Return what the server says of the release it serves: version, labels as JSON, hashes.

        Raises:
            ServerError: no server answers, or it does not serve the task.
        """
        with self._speaking(task):
            config = self._client.get_model_config(
                task, **({"as_json": True} if self.protocol == "grpc" else {}), **self._limit
            )
        try:
            parameters = config.get("config", config).get("parameters", {})
            return {key: value["string_value"] for key, value in parameters.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise self._foreign(f"a model's configuration that reads {str(config)[:40]}") from error

    def predict(self, task: str, image: bytes | str | Path, version: int | None = None) -> Prediction:
        """Ask a classifier about one image; as :meth:`ask`.

        Raises:
            InputError: also if the task answers a mask.
        """
        answer = self.ask(task, image, version)
        if isinstance(answer, Segmentation):
            raise InputError(f"{task!r} answers a mask and no class probabilities; ask it with `segment`")
        return answer

    def segment(self, task: str, image: bytes | str | Path, version: int | None = None) -> Segmentation:
        """Ask a segmentation about one image; as :meth:`ask`.

        Raises:
            InputError: also if the task answers class probabilities.
        """
        answer = self.ask(task, image, version)
        if isinstance(answer, Prediction):
            raise InputError(f"{task!r} answers class probabilities and no mask; ask it with `predict`")
        return answer

    def ask(self, task: str, image: bytes | str | Path, version: int | None = None) -> Prediction | Segmentation:
        """Ask a task about one image, whatever it answers.

        Args:
            task: benchmark key, the model's name on the server.
            image: the bytes of a JPEG or PNG file, or its path.
            version: the release that must answer; None takes the one that serves.

        Raises:
            InputError: the file is missing, or the server says that it is not an image it accepts.
            ServerError: no server answers, or it does not serve the task or version.
        """
        data, name = _read(image)
        tensor = self._api.InferInput(IMAGE_BYTES, [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[data]], dtype=np.object_))
        with self._speaking(task, name, version):
            answer = self._client.infer(task, [tensor], model_version=str(version or ""), **self._limit)
        response = answer.get_response()
        answered = int(response["model_version"] if isinstance(response, dict) else response.model_version)
        if (mask := answer.as_numpy(MASK)) is not None:
            return self._segmentation(task, answered, data, mask[0])
        probabilities = tuple(float(p) for p in answer.as_numpy(PROBABILITIES).reshape(-1))
        return Prediction(task, answered, self._labels_of(task, answered, len(probabilities)), probabilities)

    def _segmentation(self, task: str, version: int, data: bytes, probabilities: NDArray[np.float32]) -> Segmentation:
        """Put a mask's probabilities beside the size of the picture, which the server has found to be one."""
        from panderm.imaging.preprocessing import decode

        background_and = self._labels_of(task, version, 2)
        return Segmentation(task, version, background_and[1], probabilities, *decode(data).size)

    def _labels_of(self, task: str, version: int, count: int) -> tuple[str, ...]:
        """Labels belong to a version; they are asked for once, and only the answering version's are taken."""
        if (task, version) not in self._labels:
            facts = self.facts(task)
            labels = tuple(json.loads(facts.get("labels", "[]")))
            if facts.get("version") != str(version) or len(labels) != count:
                raise ServerError(f"{self.url} changed the release of {task!r} during the answer; ask again")
            self._labels[task, version] = labels
        return self._labels[task, version]

    @contextmanager
    def _speaking(self, task: str = "", image: str = "", version: int | None = None) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except OSError as error:  # the HTTP client's own words for a server that is away
            raise self._away() from error
        except (HTTPException, ValueError) as error:  # broken off, or another protocol
            raise self._foreign((str(error).splitlines() or [type(error).__name__])[0]) from error
        except InferenceServerException as error:
            raise self._explain(error, task, image, version) from error

    @property
    def _limit(self) -> dict[str, float]:
        """What bounds the waiting for one answer; the HTTP client is told once."""
        return {"client_timeout": self._timeout} if self.protocol == "grpc" else {}

    def _foreign(self, seen: str) -> ServerError:
        return ServerError(
            f"what answers at {self.url} broke off or is no Triton server's {self.protocol} port ({seen}); "
            "ask again, or give --url"
        )

    def _away(self) -> ServerError:
        return ServerError(
            f"no Triton server answers at {self.url} ({self.protocol}); start one with `panderm serve`, or give --url"
        )

    def _explain(self, error: Any, task: str, image: str, version: int | None) -> PanDermError:
        status, message = str(error.status() or ""), _ENSEMBLE.sub("", str(error.message()))
        if "UNAVAILABLE" in status and "onnect" in message:
            return self._away()
        if "DEADLINE_EXCEEDED" in status:
            return ServerError(f"{self.url} gave no answer within {self._timeout:.0f} s; look at its log or raise the timeout")
        if task and (
            "unknown model" in message
            or "is not found" in message
            or "not ready" in message
            or "no available versions" in message
        ):
            served = self.tasks()
            if version is not None and task in served:
                return ServerError(
                    f"{self.url} does not serve version {version} of {task!r}; it serves {self.facts(task)['version']}"
                )
            return ServerError(one_of(task, list(served) or "nothing yet", "task", f"asked {self.url}"))
        if image:
            return InputError(f"{image}: {message}")
        return ServerError(f"{self.url} answered: {message}")


def _check(url: str) -> None:
    """Refuse what the HTTP client would only raise its own errors for."""
    try:
        usable = "://" not in url and urlsplit(f"http://{url}").port != 0
    except ValueError:  # a port that is no number, or out of range
        usable = False
    if not usable:
        raise InputError(f"{url!r} is not where a server can be; write --url HOST:PORT")


def _read(image: bytes | str | Path) -> tuple[bytes, str]:
    if isinstance(image, bytes):
        return image, "image"
    try:
        return Path(image).read_bytes(), str(image)
    except OSError as error:
        raise InputError(f"cannot read {image} ({error.strerror}); name a JPEG or PNG file") from error
