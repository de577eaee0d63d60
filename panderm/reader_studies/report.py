"""A study's results as one page of Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from panderm.reader_studies.answers import DESIGNS
from panderm.reader_studies.effects import Resampling

WARNING = "> **Synthetic answers.** A random generator made them up; nothing on this page is a result."


def as_markdown(
    study: int,
    synthetic: bool,
    summary: dict[str, Any],
    tables: dict[str, tuple[pd.DataFrame, pa.Schema]],
    pictures: list[str],
    how: Resampling,
) -> str:
    """Return the page: what was compared, the tables, the pictures, how the figures were made."""
    title = f"# Reader study {study}: {DESIGNS[study].title}" + (" (synthetic example)" if synthetic else "")
    lines = [title, "", *([WARNING, ""] if synthetic else [])]
    body = {1: _melanoma, 2: _effects, 3: _effects}[study](summary, {name: table for name, (table, _) in tables.items()})
    lines += [*body, "", *(f"![{name}]({name})" for name in pictures), ""]
    interval = f"{how.level:.0%} intervals by the studentised bootstrap, {how.replicates} replicates that draw whole readers"
    tests = "t-tests are two-sided; Holm's adjustment is over the rows of one group of tests."
    return "\n".join([*lines, f"{interval}; {tests}"]) + "\n"


def _melanoma(summary: dict[str, Any], tables: dict[str, pd.DataFrame]) -> list[str]:
    first, share, accuracy = summary["at_first"], summary["at_first_share"], summary["accuracy"]
    lines = [
        f"{summary['sequences']} sequences, {summary['melanomas']} of them melanomas, {summary['readers']} readers.",
        "",
        f"At the first image the model calls {first['model']} of {summary['melanomas']} melanomas malignant, a reader "
        f"{first['readers_mean']:.1f} on average and {first['readers_best']} at best.",
        "",
        "| | model | mean of readers | model - readers | t-test over readers |",
        "|---|---|---|---|---|",
    ]
    for name, part in (("melanomas found at the first image", share), ("accuracy over images", accuracy)):
        test = part["test"]
        lines.append(
            f"| {name} | {_ends(part['model'])} | {_ends(part['readers'])} | {test['difference']:+.3f} | {_p(test['p'])} |"
        )
    lines += [
        "",
        "The model's intervals draw whole sequences. Each reader against the model, McNemar's exact test on first images:",
        "",
        "| reader | group | accuracy | sensitivity | specificity | first image | ever | model only | reader only | p (Holm) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in tables["readers"].to_dict("records"):
        pairs = ("", "") if row["kind"] == "model" else (f"{row['model_only']:.0f}", f"{row['reader_only']:.0f}")
        group = row["experience"] if isinstance(row["experience"], str) else ""
        shares = " | ".join(_text(row[name]) for name in ("accuracy", "sensitivity", "specificity"))
        lines.append(
            f"| {row['reader']} | {group} | {shares} | {row['at_first']} of {row['melanomas']} | {row['ever']} "
            f"| {pairs[0]} | {pairs[1]} | {_p(row['p'])} ({_p(row['p_holm'])}) |"
        )
    return lines


def _effects(summary: dict[str, Any], tables: dict[str, pd.DataFrame]) -> list[str]:
    told = {name: value for name, value in summary.items() if value is not None}
    lines = ["; ".join(f"{name.replace('_', ' ')}: {_value(value)}" for name, value in told.items()) + ".", ""]
    lines += [
        "| group | measure | pairs | answers | without | with | difference (t interval) | p (Holm) | all answers (clustered) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in tables["effects"].to_dict("records"):
        group = row["family"] if not row["name"] else f"{row['family']}: {row['name']}"
        what = f"{group} | {row['measure']}".replace("_", " ")
        lines.append(
            f"| {what} | {row['n']} {_units(row['unit'])} | {row['answers']} | {_text(row['without'])} | {_text(row['with'])} "
            f"| {_signed(row['difference'], row['t_low'], row['t_high'])} | {_p(row['p'])} ({_p(row['p_holm'])}) "
            f"| {_signed(row['pooled'], row['low'], row['high'])} |"
        )
    if "changes" in tables:
        lines += ["", "| group | answers | diagnosis changed | score better | score worse |", "|---|---|---|---|---|"]
        lines += [
            f"| {(row['family'] + (': ' + row['name'] if row['name'] else '')).replace('_', ' ')} | {row['answers']} "
            f"| {_text(row['changed'])} ({_text(row['low'])} to {_text(row['high'])}) | {_text(row['better'])} "
            f"| {_text(row['worse'])} |"
            for row in tables["changes"].to_dict("records")
        ]
    return lines


def _units(unit: str) -> str:
    return "conditions" if unit == "label" else "readers"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(_value(one) for one in value)
    return f"{value:.3f}" if isinstance(value, float) else f"{value}"


def _text(value: float, sign: str = "") -> str:
    return "-" if np.isnan(value) else f"{value:{sign}.3f}"


def _signed(value: float, low: float, high: float) -> str:
    return f"{_text(value, '+')} ({_text(low, '+')} to {_text(high, '+')})"


def _ends(part: dict[str, float | None]) -> str:
    value, low, high = (np.nan if part[name] is None else float(part[name] or 0) for name in ("value", "low", "high"))
    return f"{_text(value)} ({_text(low)} to {_text(high)})"


def _p(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
