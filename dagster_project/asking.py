"""One test image of each released task, sent to a real Triton server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panderm.core.errors import InputError
from panderm.core.files import write_bytes, write_json
from panderm.core.layout import Layout

ANSWER = "answer.json"  # below .work/: the answer that the report shows


def ask_triton(layout: Layout, on_line: Callable[[str], None]) -> list[dict[str, Any]]:
    """Ask about one test image of each released task and return one row a task.

    The workspace's running server is asked; if there is none, one is started on loopback and stopped afterwards. The
    first classifier's answer is kept for the report.

    Raises:
        InputError: nothing is released.
        ServerError: the server did not come up, or does not serve a released task.
    """
    from panderm.serving.client import Client, Prediction
    from panderm.serving.repository import served_tasks

    answer_file = layout.work / ANSWER
    answer_file.unlink(missing_ok=True)
    tasks = served_tasks(layout.triton_repo)
    if not tasks:
        raise InputError(
            f"nothing is released in {layout.triton_repo}; a task needs a passing verdict, see `panderm gate --help`"
        )
    rows = []
    with _server(layout, on_line) as url, Client(url) as client:
        for task in tasks:
            image, label = _test_image(layout, task)
            answer = client.ask(task, image)
            on_line(f"{task} version {answer.version} answers {answer.in_words}; the label is {label}")
            rows.append({"task": task, "version": answer.version, "answer": answer.in_words, "label": label})
            if isinstance(answer, Prediction) and not answer_file.exists():
                asked = {"task": task, "version": answer.version, "image": str(image), "protocol": client.protocol}
                shown = {"labels": answer.labels, "probabilities": answer.probabilities, "label": label}
                write_json(answer_file, asked | shown)
    return rows


@contextmanager
def _server(layout: Layout, on_line: Callable[[str], None]) -> Iterator[str]:
    from panderm.serving import server

    found = server.running(layout.work)
    if found is not None:
        yield found.grpc_url
        return
    started = server.start(layout.triton_repo, layout.work)
    on_line(f"Triton server on {started.grpc_url} with {layout.triton_repo.name}/")
    try:
        yield started.grpc_url
    finally:
        server.stop(layout.work)


def _test_image(layout: Layout, task: str) -> tuple[Path, str]:
    """Write the first test image of a task to ``.work/asked/`` and return its path and its label."""
    from panderm.core.tables import SPLIT, read_table
    from panderm.imaging.shards import read_image_bytes

    split = read_table(layout.split(task) / "split.parquet", SPLIT)
    row = split[split["split"] == "test"].iloc[0]
    data = read_image_bytes(layout.data, row["shard"], int(row["offset"]), int(row["nbytes"]))
    suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
    path = layout.work / "asked" / f"{task}{suffix}"
    write_bytes(path, data)
    return path, str(row["label"])
