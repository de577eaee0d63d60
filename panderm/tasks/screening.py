"""Screening of a whole body: a lesion is recommended if any of three arms says so (paper, Methods, Total-body screening).

The arms: a **risk head** on tiles (high: sent to dermoscopy), the **ugly duckling** (features of that network far from the
patient's mean), and **extra trees** on the device's 32 measurements, grown against pathology. A lesion that was never excised
counts as not malignant, as nobody knows better. One row of the predictions is one tile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_file, write_json
from panderm.tasks import diagnosis
from panderm.tasks.kinds import Fitted, Given
from panderm.tasks.malignancy import malignant
from panderm.tasks.measurements import Encoding
from panderm.tasks.screening_recipe import ScreeningRecipe

ARMS = ("risk", "duckling", "trees")
UNION = "union"
TARGETS = ("not_malignant", "malignant")
"""What ``target`` of the predictions counts, by index."""

RISK, TREES_NAME, SCREENING_NAME = "risk", "trees.safetensors", "screening.json"


class Recipe(NamedTuple):
    """What decides a screening model.

    Attributes:
        risk: recipe of the risk head.
        screening: recipe of the arms.
    """

    risk: diagnosis.Recipe
    screening: ScreeningRecipe


def fit(recipe: Recipe, given: Given, folder: Path) -> Fitted:
    """Fit the risk head, then grow the trees on the measurements of the same training lesions."""
    from panderm.models.encoder import load_card
    from panderm.models.extra_trees import save_trees
    from panderm.tasks.cards import write_card

    (folder / RISK).mkdir()
    fitted = diagnosis.fit(recipe.risk, given, folder / RISK)
    write_card(given.task, given.rows, load_card(given.encoder), fitted, folder / RISK, given.data)
    (folder / RISK / "curves.png").replace(folder / "curves.png")
    trees, encoding, told = _grow(recipe.screening, given)
    save_trees(folder / TREES_NAME, trees, encoding.model_dump(mode="json"))
    settings = {"total_body": recipe.screening.model_dump(mode="json"), **fitted.settings}
    parts = {"risk": sha256_file(folder / RISK / "model.json"), "trees": sha256_file(folder / TREES_NAME)}
    write_json(folder / SCREENING_NAME, {**parts, "recipe": settings["total_body"]})
    return Fitted(SCREENING_NAME, "screening_union", settings, {"risk": fitted.values, "trees": told})


def _grow(recipe: ScreeningRecipe, given: Given) -> tuple[Any, Encoding, dict[str, Any]]:
    from panderm.models.extra_trees import grow

    train = given.rows.part("train")
    target = malignant(train)
    if len(np.unique(target)) < 2:
        raise InputError(
            f"the train split of {given.task.key} has {int(target.sum())} malignant of {len(target)} lesions; the trees need "
            "both kinds, deliver more with pathology and curate"
        )
    encoding = Encoding.of(train)
    inputs = encoding.encode(train)
    trees = grow(inputs.values, target, encoding.columns, trees=recipe.trees, leaf=recipe.leaf, seed=recipe.seed)
    told = {
        "lesions": len(train),
        "malignant": int(target.sum()),
        "missing_measurements": int(inputs.missing.sum()),
        "lesions_with_missing": int((inputs.missing > 0).sum()),
        "never_measured": list(encoding.never_measured),
        "nodes": len(trees.left),
    }
    given.say(f"extra trees: {recipe.trees} on {len(train)} lesions, {told['malignant']} malignant")
    return trees, encoding, told


def load(model: Path, task: str) -> tuple[Any, Encoding, ScreeningRecipe]:
    """Return trees, encoding and recipe of a screening model.

    Raises:
        InputError: a part is missing or another than ``screening.json`` names.
    """
    from panderm.models.extra_trees import load_trees

    named = read_json(model / SCREENING_NAME)
    for part, path in (("risk", model / RISK / "model.json"), ("trees", model / TREES_NAME)):
        if not path.is_file() or sha256_file(path) != named[part]:
            raise InputError(f"{path} is missing or not the one {SCREENING_NAME} names; run `panderm finetune {task}` again")
    trees, card = load_trees(model / TREES_NAME)
    encoding = Encoding.parse(card, TREES_NAME)
    assert encoding.columns == trees.columns
    return trees, encoding, ScreeningRecipe.parse(named["recipe"], SCREENING_NAME)


def predict(given: Given, model: Path) -> pd.DataFrame:
    """Return what each arm says of every test lesion.

    Raises:
        InputError: the test split is empty, or a part of the model is missing.
    """
    from panderm.evaluation.ugly_duckling import ducklings

    test = given.rows.part("test").reset_index(drop=True)
    if test.empty:
        raise InputError(f"the test split of {given.task.key} has no lesion; deliver more patients and curate")
    trees, encoding, recipe = load(model, given.task.key)
    risk, features = _risk(given, test, model / RISK)
    inputs = encoding.encode(test)
    chance = trees.probability(inputs.values)
    patients = test["patient_id"].fillna(test["group"]).astype(object)
    odd = ducklings(features, patients.to_numpy(dtype=str), recipe.duckling_multiple, recipe.duckling_least)
    target = malignant(test)
    arms = {
        "by_risk": risk >= recipe.risk_threshold,
        "by_duckling": odd.stands_out,
        "by_trees": chance >= recipe.malignancy_threshold,
    }
    frame = test.assign(
        patient=patients,
        risk=test["label"],
        target=target,
        label=np.array(TARGETS)[target],
        predicted=np.any(list(arms.values()), axis=0).astype(np.int32),
        risk_score=risk,
        distance=odd.distance,
        fence=np.where(np.isfinite(odd.fence), odd.fence, np.nan),
        trees_score=chance,
        missing=inputs.missing,
        **arms,
    )
    return frame.sort_values("image_id", ignore_index=True)


def _risk(given: Given, test: pd.DataFrame, model: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of high risk (N,) and the features (N, D) of the network that gives it, in one pass."""
    import torch

    from panderm.imaging.batches import prepared_batches
    from panderm.models.pixels import normalise
    from panderm.models.task_model import load_task_model
    from panderm.training.features import features

    compute, what = given.compute, f"evaluate {given.task.key}"
    loaded = load_task_model(model, given.encoder)
    if loaded.network is None:
        table = features(given.encoder, test, given.data, given.features, batch=compute.feature_batch, what=what)
        return loaded.probabilities_of_features(table)[:, 1].astype(np.float64), table.astype(np.float64)
    gpu = compute.device == "cuda" or (compute.device == "auto" and torch.cuda.is_available())
    network, spec, device = loaded.network, loaded.card.preprocessing, torch.device("cuda" if gpu else "cpu")
    network.to(device)
    chances, rows = [], []
    for pixels in prepared_batches(test, given.data, spec, batch=compute.feature_batch, what=what):
        with torch.inference_mode():
            found = network.features(normalise(torch.from_numpy(pixels).to(device), spec))
            chances.append(torch.softmax(network.head(found).float(), dim=-1)[:, 1].double().cpu().numpy())
            rows.append(found.double().cpu().numpy())
    return np.concatenate(chances), np.concatenate(rows)


def schema() -> pa.Schema:
    """Return the columns of a screening's predictions."""
    text, score, yes = pa.string(), pa.float32(), pa.bool_()
    case = [("image_id", text), ("group", text), ("patient", text), ("target", pa.int32()), ("label", text), ("risk", text)]
    said = [("predicted", pa.int32()), *((f"by_{arm}", yes) for arm in ARMS)]
    scores = [("risk_score", score), ("distance", score), ("trees_score", score), ("fence", pa.float64())]
    facts = [("missing", pa.int64()), ("age", pa.float64()), ("sex", text), ("site", text), ("skin_type", text)]
    return pa.schema([*case, *said, *scores, *facts])
