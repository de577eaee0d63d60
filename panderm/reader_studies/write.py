"""From an answers table to a study's folder: tables, results.json, report.md, pictures, record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from panderm.core.errors import InputError
from panderm.core.files import building_folder, sha256_file, write_json, write_text
from panderm.core.record import Record
from panderm.core.tables import write_table
from panderm.reader_studies import conditions, melanoma, support
from panderm.reader_studies.answers import DESIGNS, read_answers
from panderm.reader_studies.effects import EFFECTS, Resampling
from panderm.reader_studies.pictures import draw_conditions, draw_melanoma, draw_support
from panderm.reader_studies.report import as_markdown


class Made(NamedTuple):
    """Parts of a study's folder: tables by name with their schema, summary, names of the pictures."""

    tables: dict[str, tuple[pd.DataFrame, pa.Schema]]
    summary: dict[str, Any]
    pictures: list[str]


def run_study(
    study: int,
    answers: Path,
    out: Path,
    how: Resampling | None = None,
    model: Path | None = None,
    threshold: float = 0.5,
) -> Record:
    """Compute a reader study and write its folder, replaced whole.

    Args:
        study: 1, 2 or 3.
        answers: the answers table, CSV or parquet (``panderm.reader_studies.answers`` says which columns).
        out: folder for the results.
        how: of the bootstrap.
        model: study 1 only: the model's probabilities, for answers without its rows.
        threshold: of those.

    Raises:
        InputError: the answers cannot be used; one sentence that names the row.
    """
    how = how or Resampling()
    table = read_answers(answers, study)
    frame = table.frame
    if model is not None:
        if study != 1:
            raise InputError(f"--model is of study 1; answers of study {study} hold what the model said already")
        frame = melanoma.with_model(frame, _read_model(model), threshold)
    with building_folder(out) as folder:
        made = {1: _melanoma, 2: _support, 3: _conditions}[study](folder, frame, how, table.synthetic)
        for name, (content, schema) in made.tables.items():
            marked = schema.append(pa.field("synthetic", pa.bool_()))
            write_table(folder / f"{name}.parquet", content.assign(synthetic=table.synthetic), marked)
        results = {"study": study, "title": DESIGNS[study].title, "synthetic": table.synthetic, "summary": made.summary}
        rows = {name: _plain(content) for name, (content, _) in made.tables.items() if name != "first_correct"}
        write_json(folder / "results.json", {**results, **rows, "bootstrap": how._asdict()})
        write_text(folder / "report.md", as_markdown(study, table.synthetic, made.summary, made.tables, made.pictures, how))
        record = Record(
            stage="reader-study",
            key=str(study),
            counts={"answers": len(frame), "readers": int(frame["reader"].nunique())},
            hashes={"answers": sha256_file(answers), "results": sha256_file(folder / "results.json")},
            values={"synthetic": table.synthetic},
            config=how._asdict(),
        )
        record.save(folder)
    return record


def _melanoma(folder: Path, frame: pd.DataFrame, how: Resampling, synthetic: bool) -> Made:
    found = melanoma.analyse(frame, how)
    tables = {"readers": (found.readers, melanoma.READERS), "first_correct": (found.first, melanoma.FIRST)}
    return Made(tables, found.summary, draw_melanoma(folder, found, synthetic))


def _support(folder: Path, frame: pd.DataFrame, how: Resampling, synthetic: bool) -> Made:
    found = support.analyse(frame, how)
    tables = {"effects": (found.effects, EFFECTS), "readers": (found.readers, support.READERS)}
    return Made(tables, found.summary, draw_support(folder, found, synthetic))


def _conditions(folder: Path, frame: pd.DataFrame, how: Resampling, synthetic: bool) -> Made:
    found = conditions.analyse(frame, how)
    tables = {"effects": (found.effects, EFFECTS), "changes": (found.changes, conditions.CHANGES)}
    return Made(tables, found.summary, draw_conditions(folder, found, synthetic))


def _read_model(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} is missing; name the table of sequence, time_point, probability, label")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"sequence": str})
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name} is not a table ({error}); write it as CSV or parquet") from error
    return table.assign(**{name: _numbers(table, name, path.name) for name in _OF_MODEL if name in table})


_OF_MODEL = {"time_point": (0.0, math.inf), "probability": (0.0, 1.0), "label": (0.0, 1.0)}


def _numbers(table: pd.DataFrame, name: str, where: str) -> pd.Series:
    """Return a column of the model's table as numbers.

    Raises:
        InputError: a cell is none, or out of range.
    """
    numbers, (low, high) = pd.to_numeric(table[name], errors="coerce"), _OF_MODEL[name]
    wrong = (~numbers.between(low, high) | ((name == "label") & (numbers % 1 != 0))).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        allowed = "1 (malignant) or 0" if name == "label" else f"numbers from {low:g}" + (f" to {high:g}" if high == 1 else "")
        raise InputError(f"{where}, row {row + 1}: {name!r} is {table[name].iloc[row]!r}, allowed: {allowed}; mend the row")
    return numbers


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON values; what cannot be given is null."""
    return [
        {str(name): None if value is None or (isinstance(value, float) and math.isnan(value)) else value for name, value in row}
        for row in (record.items() for record in frame.astype(object).to_dict("records"))
    ]
