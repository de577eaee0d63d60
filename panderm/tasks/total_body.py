"""Total-body photography: which of hundreds of lesions needs a second look (paper, Methods, Total-body screening)?

Two tasks on the same tiles, both after the paper's filter on the device's own fields: ``tbp_risk``, a classifier of high
(sent to dermoscopy) against low risk, and ``tbp_screening``, the union of three arms against malignancy
(:mod:`panderm.tasks.screening`). The classifier is served like any other; a screening is judged, not served, as two of its arms
need the measurements beside the tile and the patient's other lesions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from panderm.catalog import Benchmark
from panderm.evaluation.bootstrap import Statistic
from panderm.tasks import diagnosis, malignancy, screening, screening_figures
from panderm.tasks.attributes import numbers
from panderm.tasks.kinds import Counted, Fitted, Given, Prepared
from panderm.tasks.measurements import REGION
from panderm.tasks.screening import Recipe
from panderm.tasks.tiles import passing

if TYPE_CHECKING:
    from panderm.imaging.preprocessing import Preprocessing
    from panderm.tasks.kinds import Ask

COUNTED = Counted("lesions", "patients")
_EXPLAINED = 1000  # lesions in the picture of importance: all malignant ones, and a seeded draw of the others


def _screens(task: Benchmark) -> bool:
    return task.protocol == "screening_union"


def exported(task: Benchmark) -> bool:
    """Return whether a model can be served: the risk head can, which asks for the tile alone."""
    return not _screens(task)


def judged_classes(task: Benchmark) -> tuple[str, ...]:
    """Return what ``target`` of the predictions counts: of a screening malignancy, not the risk head's classes."""
    return screening.TARGETS if _screens(task) else task.classes


def prepare(task: Benchmark, rows: pd.DataFrame, masks: pd.DataFrame) -> Prepared:
    """Return the labelled tiles that pass the filter; malignant, high and low are balanced over the splits.

    Both tasks are balanced alike, so that equal deliveries get equal splits. A lesion that does not say whether it is malignant
    is of no use to a screening.

    Raises:
        InputError: no tile passes, or none of a screening says whether it is malignant.
    """
    labelled = diagnosis.prepare(task, rows, masks)
    passes, filtered = passing(task, labelled.rows)
    kept, left_out = labelled.rows[passes], labelled.left_out | filtered
    notes: tuple[str, ...] = ()
    if _screens(task):
        says, notes = malignancy.known(task.key, kept)
        left_out[malignancy.UNKNOWN] = int((~says).sum())
        kept = kept[says]
    stratum = kept["label"].astype(object).mask(malignancy.malignant(kept) == 1, "malignant")
    return Prepared(kept.assign(stratum=stratum), left_out, notes)


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Fit the risk head, and for a screening the trees."""
    if _screens(given.task):
        return screening.fit(recipe, given, folder)
    return diagnosis.fit(recipe.risk, given, folder)


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return class probabilities, or what each arm says of every test lesion."""
    return screening.predict(given, model) if _screens(given.task) else diagnosis.predict(given, model)


def answers(given: Given, spec: Preprocessing, ask: Ask) -> pd.DataFrame:
    """Return the class probabilities that a released risk head gives the test lesions."""
    return diagnosis.answers(given, spec, ask)


def schema(task: Benchmark) -> pa.Schema:
    """Return the columns of the predictions table."""
    return screening.schema() if _screens(task) else diagnosis.schema(task)


def primary(task: Benchmark, predictions: pd.DataFrame) -> Statistic:
    """Return the AUROC of high risk, or the union's sensitivity over malignant lesions."""
    return screening_figures.sensitivity(predictions) if _screens(task) else diagnosis.primary(task, predictions)


def score(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Statistic]:
    """Return every other figure."""
    return screening_figures.figures(predictions) if _screens(task) else diagnosis.score(task, predictions)


def class_score(task: Benchmark, predictions: pd.DataFrame, index: int) -> dict[str, Statistic]:
    """Return the figures of one class; of a screening nothing, as its figures speak of one class alone."""
    return {} if _screens(task) else diagnosis.class_score(task, predictions, index)


def details(task: Benchmark, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return counts by arm and the malignant lesions that nobody recommends, or the confusion counts."""
    return {"screening": screening_figures.counts(predictions)} if _screens(task) else diagnosis.details(task, predictions)


def draw(folder: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    """Write a classifier's pictures, or those of the arms, of the ugly ducklings and of what the trees go by."""
    from panderm.evaluation.screening_plots import draw_arms, draw_ducklings

    if not _screens(given.task):
        diagnosis.draw(folder, given, model, predictions)
        return
    draw_arms(folder / "arms.png", screening_figures.counts(predictions), given.task.key)
    draw_ducklings(folder / "ducklings.png", predictions, given.task.key)
    _draw_importance(folder / "shap.png", given, model, predictions)


def _draw_importance(path: Path, given: Given, model: Path, predictions: pd.DataFrame) -> None:
    from panderm.evaluation.screening_plots import draw_importance

    trees, encoding, _ = screening.load(model, given.task.key)
    chosen = predictions["image_id"].iloc[_explained(predictions["target"].to_numpy(dtype=np.int64))]
    rows = given.rows.part("test").set_index("image_id", drop=False).loc[chosen].reset_index(drop=True)
    shares = encoding.by_measurement(trees.importance(encoding.encode(rows).values))
    measured = numbers(rows, encoding.medians).assign(**{REGION: np.nan}).to_numpy(dtype=np.float64)
    draw_importance(path, shares, measured, [*encoding.medians, REGION], given.task.key)


def _explained(target: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the rows to explain: the malignant ones, and others in a seeded order until there are enough."""
    others = np.random.default_rng(0).permutation(np.flatnonzero(target == 0))
    ill = np.flatnonzero(target == 1)[:_EXPLAINED]
    return np.sort(np.concatenate([ill, others[: _EXPLAINED - len(ill)]]))
