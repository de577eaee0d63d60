"""One real Triton server for the tests that ask one, on free ports, in a workspace of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panderm.core.errors import ServerError
from panderm.serving import server
from panderm.serving.environment import find_environment

ORIENTATION = 0x0112


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def triton(workspace: Path) -> Iterator[server.RunningServer]:
    try:
        find_environment()
    except ServerError as error:
        pytest.skip(str(error))
    repository = workspace / "triton_repo"
    repository.mkdir()
    started = server.start(repository, workspace / ".work", *server.free_ports(2))
    yield started
    server.stop(workspace / ".work")


@pytest.fixture
def repository(triton: server.RunningServer) -> Path:
    return Path(triton.repository)


@pytest.fixture
def image_file() -> Callable[[str], bytes]:
    """Small image files of the awkward kinds that clients send."""

    def make(kind: str) -> bytes:
        pixels = np.random.default_rng(7).integers(0, 256, (60, 44, 4), dtype=np.uint8)
        stream = io.BytesIO()
        if kind == "rgba_png":
            Image.fromarray(pixels, "RGBA").save(stream, "PNG")
        elif kind == "grey_jpeg":
            Image.fromarray(pixels[..., 0], "L").save(stream, "JPEG", quality=90)
        else:
            tags = Image.Exif()
            tags[ORIENTATION] = 6
            Image.fromarray(pixels[..., :3], "RGB").save(stream, "JPEG", quality=90, exif=tags)
        return stream.getvalue()

    return make
