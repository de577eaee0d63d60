"""Out of fold: as many classifiers as folds, each judged on the part of the data that it has never seen.

For fold k the test images are fold k, validation is the fold after it, training all others. A model folder then holds one
whole model a fold (``fold_0/``, ...) and ``folds.json``, which names them by hash.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panderm.catalog import Benchmark
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json
from panderm.core.tables import SPLIT, write_table
from panderm.curation.splits import fold_names
from panderm.tasks import diagnosis
from panderm.tasks.cards import write_card
from panderm.tasks.kinds import Fitted, Given
from panderm.tasks.rows import SPLIT_NAME, Rows

FOLDS_NAME = "folds.json"
_LEAST = 3  # one fold to train on beside those to choose and to test on


def fit_folds(recipe: diagnosis.Recipe, given: Given, folder: Path) -> Fitted:
    """Fit a classifier for each fold; ``curves.png`` is the first one's.

    Raises:
        InputError: there are fewer than three folds, or the training part of one has a single class.
    """
    from panderm.models.encoder import load_card

    check_folds(given.task)
    card = load_card(given.encoder)
    told: list[dict[str, Any]] = []
    for fold in range(given.task.folds):
        home = folder / f"fold_{fold}"
        home.mkdir()
        part = _given_fold(given, fold)
        given.say(f"fold {fold + 1} of {given.task.folds}")
        fitted = diagnosis.fit(recipe, part, home)
        write_card(given.task, given.rows, card, fitted, home, given.data)
        told.append({name: value for name, value in fitted.values.items() if name != "history"})
    shutil.rmtree(given.work / "splits", ignore_errors=True)
    (folder / "fold_0" / "curves.png").replace(folder / "curves.png")
    for path in folder.glob("fold_*/curves.png"):
        path.unlink()
    write_json(folder / FOLDS_NAME, [sha256_file(folder / f"fold_{fold}" / "model.json") for fold in range(given.task.folds)])
    return Fitted(FOLDS_NAME, fitted.protocol, fitted.settings, {"folds": told}, fitted.relative_position_bias)


def _given_fold(given: Given, fold: int) -> Given:
    frame = given.rows.frame.copy()
    frame["split"] = fold_names(frame, fold, given.task.folds)
    split = given.work / "splits" / str(fold)
    write_table(split / SPLIT_NAME, frame, SPLIT)
    rows = Rows(frame, sha256_file(split / SPLIT_NAME))
    return given._replace(rows=rows, split=split, work=given.work / f"fold_{fold}")


def probabilities(given: Given, model: Path) -> NDArray[np.float32]:
    """Return out-of-fold class probabilities (N, C) of every row of ``given.rows``.

    Raises:
        InputError: a fold's model is missing, damaged or another than ``folds.json`` names.
    """
    frame = given.rows.frame
    named = read_json(model / FOLDS_NAME)
    answer = np.zeros((len(frame), len(given.task.classes)), dtype=np.float32)
    for fold, digest in enumerate(named):
        home = model / f"fold_{fold}"
        if not (home / "model.json").is_file() or sha256_file(home / "model.json") != digest:
            raise InputError(
                f"{home} is missing or not the model {FOLDS_NAME} names; run `panderm finetune {given.task.key}` again"
            )
        mine = (frame["fold"].astype(int) == fold).to_numpy()
        if mine.any():
            answer[mine] = diagnosis.probabilities(given, frame[mine], home)
    return answer


def check_folds(task: Benchmark) -> None:
    """Refuse a task without folds to work with.

    Raises:
        InputError: it has fewer than three.
    """
    if task.folds < _LEAST:
        raise InputError(f"{task.key} is judged out of fold and needs `folds` of at least {_LEAST} in the catalogue")
