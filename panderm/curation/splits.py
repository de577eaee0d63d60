"""Who is trained on and who is tested on: seeded, stratified by label, and no group on two sides.

A group is everything that must stay together: images joined, directly or through others, by a patient, a lesion, or by
showing the same picture.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import numpy as np
import pandas as pd

from panderm.core.errors import InputError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
"""In the order in which a training run sees them; a group with members in two goes to the earlier one."""

_RANK = {name: rank for rank, name in enumerate(SPLITS)}
_PREFERENCE: tuple[Split, ...] = ("train", "test", "val")  # who gets the odd image of a small class


def join_groups(rows: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Return each row's group: its smallest patient id, else lesion id, else image id.

    Args:
        rows: columns ``image_id``, ``patient_id``, ``lesion_id``.
        pairs: columns ``i``, ``j``: positions of rows that show the same picture.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    position = pd.Series(np.arange(len(rows)), index=rows.index)
    edges = [pairs[["i", "j"]].to_numpy(dtype=np.int64)]
    for column in ("patient_id", "lesion_id"):
        named = rows[column].notna()
        first = position[named].groupby(rows.loc[named, column]).transform("first")
        edges.append(np.stack([first, position[named]], axis=1).astype(np.int64))
    left, right = np.concatenate(edges).T
    graph = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(len(rows), len(rows)))
    component = pd.Series(connected_components(graph, directed=False)[1], index=rows.index)
    names = [rows[column].groupby(component).transform("min") for column in ("patient_id", "lesion_id", "image_id")]
    return names[0].fillna(names[1]).fillna(names[2]).astype(object)


def conflicting_labels(rows: pd.DataFrame) -> pd.Series:
    """Return which rows have the bytes of a row with another label; nobody can say which of them is right."""
    several = [rows.groupby(rows[c])["label"].transform("nunique") > 1 for c in ("delivered_sha256", "stored_sha256")]
    return several[0] | several[1]


def assign(rows: pd.DataFrame, prior: pd.Series, shares: dict[Split, float], seed: int) -> tuple[pd.Series, pd.Series]:
    """Return each row's split, and whether it left a shipped split because its group crossed splits.

    What stands, stands: a split that the delivery ships, else the one that an earlier run gave. A group with members
    in two goes as a whole to the one that training sees first, so that nothing a released model may have learnt from
    is ever tested on. Other groups are dealt out class by class (a group counts for its rarest label), in an order
    drawn from the seed and the group's name alone, each to the split that lacks most images of that class.

    Where the delivery ships splits, other groups never join a shipped ``val`` or ``test``; where it ships no ``val``,
    one is dealt from the training part.

    Args:
        rows: columns ``image_id``, ``label``, ``group``, ``split`` (shipped, may be null).
        prior: split by image id of an earlier run; may be empty.
        shares: share of the images wanted in each split.
        seed: seed of the order.
    """
    shipped = rows["split"].astype(object).where(rows["split"].isin(SPLITS), None)
    ships = set(shipped.dropna())
    open_splits: list[Split] = [name for name in _PREFERENCE if name == "train" or name not in ships]
    fixed = _earliest(shipped, rows["group"]).where(shipped.notna(), None)
    if "val" in open_splits:
        fixed = fixed.where(fixed != "train", None)
    earlier = rows["image_id"].map(prior).astype(object) if len(prior) else pd.Series(None, index=rows.index, dtype=object)
    standing = fixed.where(fixed.notna(), earlier.where(earlier.isin(open_splits), None))
    split = _deal(rows, _earliest(standing, rows["group"]), {name: shares[name] for name in open_splits}, seed)
    return split, shipped.notna() & (shipped.map(_RANK) > split.map(_RANK))


def assign_folds(rows: pd.DataFrame, prior: pd.Series, folds: int, seed: int) -> pd.Series:
    """Return each row's fold, 0 .. folds - 1: whole groups, class by class, each to the fold that has fewest of the class.

    Args:
        rows: columns ``image_id``, ``label`` (what is balanced), ``group``, and ``case`` where several rows are judged as one
            and count as one (tiles of a slide).
        prior: fold by image id of an earlier run, which stands; may be empty.
        folds: how many.
        seed: seed of the order in which groups are dealt out.

    Raises:
        InputError: there are fewer groups than folds.
    """
    groups = rows["group"].nunique()
    if groups < folds:
        raise InputError(f"{groups} patients or lesions cannot make {folds} folds; deliver more, or lower `folds`")
    earlier = rows["image_id"].map(prior) if len(prior) else pd.Series(np.nan, index=rows.index)
    standing = pd.to_numeric(earlier).where(lambda fold: fold.between(0, folds - 1))
    facts = rows[["group", "label"]].assign(fold=standing, rarity=rows.groupby("label")["group"].transform("nunique"))
    facts["case"] = rows["case"] if "case" in rows else rows["image_id"]
    facts = facts.sort_values(["rarity", "label"], kind="stable")
    table = facts.groupby("group").agg(stratum=("label", "first"), fold=("fold", "min"), size=("case", "nunique"))
    sizes = np.array([float(table["size"][table["fold"] == fold].sum()) for fold in range(folds)])
    chosen: dict[str, int] = {}
    for _, members in table.groupby("stratum"):
        held = np.array([float(members["size"][members["fold"] == fold].sum()) for fold in range(folds)])
        waiting = members["size"][members["fold"].isna()]
        for group in sorted(waiting.index, key=lambda name: _order(seed, name)):
            fold = min(range(folds), key=lambda number: (held[number], sizes[number], number))
            chosen[str(group)] = fold
            held[fold] += waiting[group]
            sizes[fold] += waiting[group]
    return rows["group"].map(table["fold"].fillna(pd.Series(chosen, dtype="float64"))).astype("Int32")


def fold_names(frame: pd.DataFrame, fold: int, folds: int) -> pd.Series:
    """Return ``train``, ``val`` or ``test`` for each row when ``fold`` is the one that is tested on."""
    number = frame["fold"].astype(int)
    return pd.Series(np.select([number == fold, number == (fold + 1) % folds], ["test", "val"], "train"), index=frame.index)


def _earliest(split: pd.Series, group: pd.Series) -> pd.Series:
    """Return for each row the split that training sees first among those of its group; null where none has one."""
    return split.map(_RANK).astype("float64").groupby(group).transform("min").map(dict(enumerate(SPLITS))).astype(object)


def _deal(rows: pd.DataFrame, split: pd.Series, shares: dict[Split, float], seed: int) -> pd.Series:
    """Fill the null rows of ``split``, whole groups at a time."""
    facts = rows[["group", "label"]].assign(split=split, rarity=rows.groupby("label")["group"].transform("nunique"))
    facts = facts.sort_values(["rarity", "label"], kind="stable")
    groups = facts.groupby("group").agg(stratum=("label", "first"), split=("split", "first"), size=("label", "size"))
    chosen: dict[str, Split] = {}
    for _, members in groups.groupby("stratum"):
        held = {name: float(members["size"][members["split"] == name].sum()) for name in shares}
        waiting = members["size"][members["split"].isna()]
        for group in sorted(waiting.index, key=lambda name: _order(seed, name)):
            total = sum(held.values()) + waiting[group]
            chosen[group] = max(shares, key=lambda name: shares[name] / sum(shares.values()) * total - held[name])
            held[chosen[group]] += float(waiting[group])
    return split.where(split.notna(), rows["group"].map(chosen)).astype(object)


def _order(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
