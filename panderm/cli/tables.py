"""How catalogue tables are printed: for people on a terminal, or as CSV or JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_WIDEST = 34
"""Cells wrap beyond it, in characters; chosen so that six columns fit a wide terminal."""


def format_option(function: F) -> F:
    """Add ``--format table|csv|json``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "csv", "json"]),
        default="table",
        show_default=True,
        help="For people, for spreadsheets, for programs; csv and json hold every column unwrapped.",
    )(function)


def print_rows(rows: list[dict[str, Any]], form: str) -> None:
    """Print rows of equal keys in the format that was asked for."""
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        click.echo(text.getvalue(), nl=False)
    else:
        click.echo("\n".join(_table(rows)))


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table as wide as the terminal; where the columns do not fit, a block a row instead."""
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    widths = {name: min(_WIDEST, max(len(name), *(len(row[name]) for row in cells))) for name in cells[0]}
    terminal = shutil.get_terminal_size((120, 24)).columns
    if sum(widths.values()) + 2 * (len(widths) - 1) > terminal:
        return _blocks(cells, terminal)
    lines = ["  ".join(name.ljust(width) for name, width in widths.items()).rstrip()]
    lines.append("  ".join("-" * width for width in widths.values()))
    for row in cells:
        wrapped = [textwrap.wrap(row[name], width) or [""] for name, width in widths.items()]
        for number in range(max(map(len, wrapped))):
            parts = [part[number] if number < len(part) else "" for part in wrapped]
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths.values(), strict=True)).rstrip())
    return lines


def _blocks(cells: list[dict[str, str]], terminal: int) -> list[str]:
    """Return every row as a heading with its columns below, two abreast where they are short."""
    names = list(cells[0])
    label = max(map(len, names)) + 1
    half = max(label + 12, (min(terminal, 150) - 4) // 2)
    lines: list[str] = []
    for row in cells:
        title = f"{row['number']:>2} {row['key']}" if "number" in row else row["key"]
        lines += [title, "-" * len(title)]
        entries = [f"{name + ':':<{label}} {row[name] or '-'}" for name in names if name not in ("number", "key")]
        pending = ""
        for entry in entries:
            if len(entry) > half - 2:
                lines += [f"  {pending}"] if pending else []
                hang = " " * (label + 3)
                lines += textwrap.wrap(entry, min(terminal, 150), initial_indent="  ", subsequent_indent=hang)
                pending = ""
            elif pending:
                lines.append(f"  {pending:<{half}}{entry}")
                pending = ""
            else:
                pending = entry
        lines += [f"  {pending}"] if pending else []
        lines.append("")
    return lines[:-1]
