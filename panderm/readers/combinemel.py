"""ComBineMel, invasive melanomas and what became of them: the CSV of :mod:`panderm.readers.task_csv`, one row an image.

Needed besides image: ``metastasis`` (or label), ``rfi_months`` or ``rfi_years`` (recurrence-free interval) and
``recurrence`` (yes or no, whether the interval ended with one). Clinical: patient_id, lesion_id, age, sex, location, stage,
breslow (mm), ulceration, mitosis, subtype. Columns as delivered become the attributes ``rfi_months``, ``recurrence``
(1 or 0), ``stage`` (I to IV), ``breslow``, ``ulceration`` (1 or 0), ``mitosis``, ``subtype``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.readers import task_csv, values
from panderm.readers.base import Delivery
from panderm.readers.checks import refuse

REQUIRED = ("rfi_months", "recurrence")
_WORDS = {
    **dict.fromkeys(("none", "no", "control", "no metastasis", "absent"), "control"),
    **dict.fromkeys(("local", "satellite", "in-transit", "in transit", "locoregional"), "local"),
    **dict.fromkeys(("distant", "distant metastasis"), "distant"),
}
"""The paper's three groups; it does not say which of them recurrence in lymph nodes alone is, so other words are refused."""

_STAGES = {"1": "I", "2": "II", "3": "III", "4": "IV"}


def read(dataset: Dataset, landing: Path) -> Delivery:
    """Read the delivery; a row without a time or an outcome is refused, for neither fold nor Cox model can use it."""
    return task_csv.read_with(dataset, landing, REQUIRED, _prepare, _check)


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename(columns={"location": "site"} if "site" not in table else {})
    if "metastasis" in table:
        table = table.drop(columns="label", errors="ignore").rename(columns={"metastasis": "label"})
    if "label" in table:
        words = table["label"].str.strip()
        table = table.assign(label=words.str.casefold().map(_WORDS).fillna(words))
    if "rfi_months" not in table and "rfi_years" in table:
        table = table.assign(rfi_months=12.0 * values.number(table["rfi_years"])).drop(columns="rfi_years")
    elif "rfi_months" in table:
        table = table.assign(rfi_months=values.number(table["rfi_months"]))
    if "stage" in table:
        stage = values.text(table["stage"]).str.upper().str.extract(r"^(?:STAGE\s*)?(IV|I{1,3}|[1-4])", expand=False)
        table = table.assign(stage=stage.map(_STAGES).astype("string").fillna(stage))
    made = {name: values.yes_no(table[name]) for name in ("recurrence", "ulceration") if name in table}
    made |= {name: values.number(table[name]) for name in ("breslow", "mitosis") if name in table}
    return table.assign(**made)


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    time, recurrence = table["rfi_months"], table["recurrence"]
    bad = time.isna() | (time < 0)
    sentence = "the recurrence-free interval is missing or below 0; a number of months (rfi_months) is needed"
    rows = refuse(rows, bad, Reason.BAD_VALUE, sentence)
    rows = refuse(rows, recurrence.isna(), Reason.BAD_VALUE, "recurrence is neither yes nor no")
    odd = (rows["label"] == "control") & (recurrence == 1)
    return refuse(rows, odd, Reason.CONTRADICTION, "metastasis is none but recurrence is yes")
