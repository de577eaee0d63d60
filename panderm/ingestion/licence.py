"""A delivery's own terms: the first line of ``licence.txt``, which stand over the catalogue's."""

from __future__ import annotations

from pathlib import Path

from panderm.core.errors import InputError
from panderm.core.record import RECORD_NAME, Record
from panderm.readers.base import LICENCE

LONGEST = 200
"""Characters of a first line that still reads as a name of terms and not as the terms themselves."""


def delivered_licence(landing: Path, files: list[str], staged: Path) -> dict[str, str]:
    """Return ``{"licence": terms}``; those of an earlier delivery where this one names none, and nothing where none ever did.

    Args:
        landing: the landing folder.
        files: every file in it.
        staged: the dataset's staging folder, with the record of the last ingest if there was one.

    Raises:
        InputError: the file's first line names no terms.
    """
    named = next((path for path in files if path.casefold() == LICENCE), None)
    if named is not None:
        return {"licence": _first_line(landing / named)}
    former = Record.load(staged).values if (staged / RECORD_NAME).is_file() else {}
    return {"licence": former["licence"]} if "licence" in former else {}


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    terms = " ".join(lines[0].split()) if lines else ""
    if not terms or len(terms) > LONGEST:
        seen = f"has {len(terms)} characters in its first line" if terms else "has an empty first line"
        raise InputError(
            f"{path} {seen}; name the terms there in at most {LONGEST}, by an SPDX identifier such as CC-BY-4.0, "
            "or write in-house"
        )
    return terms
