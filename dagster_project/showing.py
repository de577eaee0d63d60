"""How results look in Dagster: records as counts and hashes, pictures inline, tables as tables, errors as one sentence."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from panderm.core.errors import FailsAgain, PanDermError, TrainingFailed
from panderm.core.files import sha256_json
from panderm.core.record import Record

Metadata = dict[str, dg.MetadataValue[Any]]
STAGE_TAG = "panderm/stage"
WARNING = "warning: "  # before a line that a stage wants to be seen


@contextmanager
def plainly() -> Iterator[None]:
    """Turn the library's errors for users into a failure of one sentence.

    Only a training process that died is worth another attempt; a refusal, a wrong input or a loss that is no number stays what
    it is.
    """
    try:
        yield
    except PanDermError as error:
        again = isinstance(error, TrainingFailed) and not isinstance(error, FailsAgain)
        raise dg.Failure(str(error), allow_retries=again) from error


def sentence(event: dg.DagsterEvent) -> str:
    """Return why a step failed: the failure's own description, else the error under Dagster's wrapping."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    if data.error is not None:
        return (data.error.cause or data.error).message.strip()
    return event.message or "no message"


def result(record: Record, *pictures: Path, **more: dg.MetadataValue[Any]) -> dg.MaterializeResult[None]:
    """Return a stage's record as a materialization: counts, hashes, values, then pictures that exist.

    The data version is the hash of the output hashes (of the whole record where a stage names none), so that the UI
    tells a re-run with the same result from a changed one.
    """
    metadata: Metadata = {name: dg.MetadataValue.int(count) for name, count in record.counts.items()}
    metadata |= {name: _value(value) for name, value in record.values.items() if value is not None}
    metadata |= {f"sha256 of {name}": dg.MetadataValue.text(digest) for name, digest in record.hashes.items()}
    metadata |= {path.stem: picture(path) for path in pictures if path.is_file()}
    version = sha256_json(record.hashes or record.model_dump(mode="json"))[:16]
    return dg.MaterializeResult(metadata=metadata | more, data_version=dg.DataVersion(version))


def telling(log: dg.DagsterLogManager) -> Callable[[str], None]:
    """Return a listener for a stage's lines that logs its warnings as warnings."""

    def tell(line: str) -> None:
        warning = line.startswith(WARNING)
        (log.warning if warning else log.info)(line.removeprefix(WARNING))

    return tell


def listing(sentences: Iterable[str], otherwise: str) -> dg.MetadataValue[Any]:
    """Return sentences as a list, or the word for none."""
    return dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences) or otherwise)


def _value(value: Any) -> dg.MetadataValue[Any]:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    return dg.MetadataValue.text(value) if isinstance(value, str) else dg.MetadataValue.json(value)


def picture(path: Path) -> dg.MetadataValue[Any]:
    """Return a PNG file as inline markdown; it travels with the event and needs no file server."""
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})")


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Return ``rows`` (all with the same keys) as a table; an empty one says so, since Dagster cannot infer its columns."""
    records = [dg.TableRecord({key: _cell(value) for key, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text("no rows")


def _cell(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)
