"""What several layouts hold their rows against; a row that fails is refused with a sentence, the others go on."""

from __future__ import annotations

import pandas as pd

from panderm.core.reasons import Reason

SPLITS = ("train", "val", "test")


def refuse(rows: pd.DataFrame, where: pd.Series, reason: Reason, detail: str | pd.Series) -> pd.DataFrame:
    """Return the rows with ``reason`` and ``detail`` set where ``where`` is true; what was refused before stays so."""
    none = pd.Series(pd.NA, index=rows.index, dtype="string")
    before = rows.get("reason", none)
    new = where.fillna(False).astype(bool) & before.isna()
    sentence = rows.get("detail", none)
    return rows.assign(reason=before.mask(new, reason.value), detail=sentence.mask(new, detail))


def known_split(rows: pd.DataFrame) -> pd.DataFrame:
    """Refuse rows whose split is a word of no split: to train on what may be test images would show in no figure."""
    odd = rows["split"].notna() & ~rows["split"].isin(SPLITS)
    return refuse(rows, odd, Reason.BAD_VALUE, "the split is '" + rows["split"] + "'; allowed: train, val, test")
