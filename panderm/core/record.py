"""The record every stage leaves beside its output: what was made, from what, with which settings.

Records hold no clock time and no absolute path, so that the same inputs give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from panderm import __version__
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError
from panderm.core.files import read_json, write_json
from panderm.core.layout import written_by

RECORD_NAME = "record.json"


class Record(FrozenConfig):
    """What one run of a stage made.

    Attributes:
        stage: the stage's name.
        key: dataset or task, empty for stages that run once.
        counts: plain counts (images, quarantined, excluded, steps, ...).
        hashes: sha256 of inputs and outputs by name.
        values: other facts, JSON values only.
        config: the stage's configuration as used.
        code_version: version of this package.
    """

    stage: str
    key: str = ""
    counts: dict[str, int] = Field(default_factory=dict)
    hashes: dict[str, str] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    code_version: str = __version__

    def save(self, folder: Path) -> None:
        """Write ``record.json`` into ``folder``, whole or not at all."""
        write_json(folder / RECORD_NAME, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``record.json`` of ``folder``.

        Raises:
            InputError: the folder holds no record, that is, the stage has not finished there.
        """
        path = folder / RECORD_NAME
        if not path.is_file():
            raise InputError(f"{folder} has no {RECORD_NAME}; run {written_by(path)} first")
        return cls.parse(read_json(path), where=str(path))
