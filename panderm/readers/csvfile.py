"""Metadata tables as hospitals export them: any of the usual encodings and separators, every value as text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

LINE = "#line"
"""Column added to every table: the line of the file that the row begins on, the file's first line being line 1."""

_DECLARED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A first line by which a spreadsheet says the separator; it is no part of the table."""

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class UnreadableTable(ValueError):
    """A file that is not a table; the text is one sentence."""


def read_csv(path: Path) -> pd.DataFrame:
    """Return a delivered table: column names stripped and in lower case, every value text, blank cells empty texts.

    Raises:
        UnreadableTable: the file cannot be opened, is empty, or its rows do not fit its header.
    """
    whole = read_text(path)
    declared = _DECLARED.match(whole)
    content = whole[declared.end() :] if declared else whole
    separator = declared[1] if declared else _separator(content)
    try:
        frame = pd.read_csv(io.StringIO(content), sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UnreadableTable(f"{path.name} is not a readable table ({str(error).splitlines()[0]})") from error
    frame = _unshifted(frame, path.name)
    frame.columns = pd.Index([str(name).strip().casefold() for name in frame.columns])
    frame = frame.loc[:, ~frame.columns.duplicated()].fillna("")
    frame[LINE] = [line + bool(declared) for line in _lines(content, separator, len(frame))]
    blank = (frame.drop(columns=LINE) == "").all(axis=1)
    return frame[~blank].reset_index(drop=True)


def _lines(content: str, separator: str, rows: int) -> Sequence[int]:
    """Return the line that each row begins on: a cell in quotes may hold line breaks, so a row may take several lines."""
    plain = range(2, rows + 2)
    if '"' not in content:
        return plain
    reader = csv.reader(io.StringIO(content, newline=None), delimiter=separator)
    begins, last = [], 0
    try:
        for _ in reader:
            begins.append(last + 1)
            last = reader.line_num
    except csv.Error:
        return plain
    return begins[1:] if len(begins) == rows + 1 else plain


def read_text(path: Path) -> str:
    """Return a delivered text in any of the usual encodings.

    Raises:
        UnreadableTable: the file cannot be opened, is empty or binary.
    """
    try:
        return _decoded(path.read_bytes())
    except (OSError, UnicodeError) as error:
        raise UnreadableTable(f"{path.name} is not a readable table ({str(error).splitlines()[0]})") from error


def _unshifted(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Undo what pandas does when every row has more values than the header: it takes the first ones for an index."""
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    header, extra = list(frame.columns), frame.index.nlevels
    frame = frame.reset_index()
    if not (frame.iloc[:, -extra:].fillna("") == "").all(axis=None):
        raise UnreadableTable(f"{name} is not a readable table (its rows have more values than its header)")
    return frame.iloc[:, :-extra].set_axis(header, axis=1)  # only a separator at the end of every line


def _decoded(data: bytes) -> str:
    if not data.strip():
        raise UnicodeError("it is empty")
    if b"\x00" in data[:4096] and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnicodeError("it is binary")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # what spreadsheets on Windows write


def _separator(content: str) -> str:
    header = content.split("\n", 1)[0]
    return max((",", ";", "\t"), key=header.count)
