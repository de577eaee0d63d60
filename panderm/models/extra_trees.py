"""Extremely randomised trees as plain arrays: grown by scikit-learn, kept as safetensors, asked by a few lines of numpy.

So nothing has to be unpickled, and a model answers the same whatever version of scikit-learn is installed later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from panderm.core.errors import InputError
from panderm.core.files import writing

_LEAF = -1


class Trees(NamedTuple):
    """A forest of two classes; M nodes of all trees one after the other.

    Attributes:
        columns: names of the inputs, in their order.
        root: index of each tree's first node (T,).
        left: index of the node for values up to the threshold (M,); -1 at a leaf.
        right: index of the node for values above it (M,).
        feature: which input is looked at (M,).
        threshold: (M,) float64; inputs are rounded to float32 before they are held against it, as scikit-learn does.
        chance: share of the second class, by weight, of the training rows in the node (M,).
        weight: their total weight (M,).
    """

    columns: tuple[str, ...]
    root: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    chance: NDArray[np.float64]
    weight: NDArray[np.float64]

    def probability(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of the second class (N,) of rows (N, F): the mean over the trees."""
        rows = values.astype(np.float32)
        total = np.zeros(len(rows))
        for root in self.root:
            at = np.full(len(rows), root)
            inner = np.flatnonzero(self.left[at] != _LEAF)
            while len(inner):
                node = at[inner]
                goes_left = rows[inner, self.feature[node]] <= self.threshold[node]
                at[inner] = np.where(goes_left, self.left[node], self.right[node])
                inner = inner[self.left[at[inner]] != _LEAF]
            total += self.chance[at]
        answer: NDArray[np.float64] = total / len(self.root)
        return answer

    def importance(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return SHAP values (N, F): what each input adds to a row's probability, from the mean of the training rows.

        By the trees' own path weights (Lundberg et al., From local explanations to global understanding, 2020).
        """
        from shap import TreeExplainer

        ends = [*self.root[1:], len(self.left)]
        trees = [self._single(int(start), int(end)) for start, end in zip(self.root, ends, strict=True)]
        explainer = TreeExplainer({"trees": trees}, feature_perturbation="tree_path_dependent")
        # The mean over trees is a sum of trees that are scaled down; float32 as in `probability`, else rows change sides.
        found = np.asarray(explainer.shap_values(values.astype(np.float32).astype(np.float64), check_additivity=False))
        return found.reshape(len(values), len(self.columns))

    def _single(self, start: int, end: int) -> dict[str, Any]:
        """Return one tree in the form that shap reads."""
        part = slice(start, end)
        left, right = (np.where(side[part] == _LEAF, _LEAF, side[part] - start) for side in (self.left, self.right))
        return {
            "children_left": left,
            "children_right": right,
            "children_default": right,
            "features": np.where(left == _LEAF, _LEAF, self.feature[part]),
            "thresholds": self.threshold[part],
            "values": self.chance[part, None] / len(self.root),
            "node_sample_weight": self.weight[part],
        }


def grow(
    values: NDArray[np.float64], target: NDArray[np.int64], columns: Sequence[str], *, trees: int, leaf: int, seed: int
) -> Trees:
    """Grow a forest, both classes weighted alike.

    Args:
        values: training rows (N, F), finite.
        target: 0 or 1 (N,), both present.
        columns: names of the inputs.
        trees: how many.
        leaf: least rows in a leaf.
        seed: of the random splits.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(trees, min_samples_leaf=leaf, class_weight="balanced", random_state=seed)
    return of_forest(forest.fit(values, target), columns)


def of_forest(forest: Any, columns: Sequence[str]) -> Trees:
    """Return a fitted scikit-learn forest of two classes as arrays."""
    grown = [estimator.tree_ for estimator in forest.estimators_]
    root = np.cumsum([0, *(tree.node_count for tree in grown)])[:-1].astype(np.int64)

    def joined(name: str, kind: type) -> NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in grown]).astype(kind)

    def moved(name: str) -> NDArray[np.int64]:
        sides = zip((getattr(tree, name) for tree in grown), root, strict=True)
        return np.concatenate([np.where(side < 0, _LEAF, side + first) for side, first in sides]).astype(np.int64)

    counts = np.concatenate([tree.value[:, 0, :] for tree in grown])
    return Trees(
        columns=tuple(columns),
        root=root,
        left=moved("children_left"),
        right=moved("children_right"),
        feature=np.maximum(joined("feature", np.int64), 0),
        threshold=joined("threshold", np.float64),
        chance=counts[:, 1] / counts.sum(axis=1),
        weight=joined("weighted_n_node_samples", np.float64),
    )


def save_trees(path: Path, trees: Trees, card: dict[str, Any]) -> None:
    """Write a forest, and JSON values beside it, whole or not at all; equal forests give equal bytes."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in trees._asdict().items() if name != "columns"}
    told = json.dumps({"columns": list(trees.columns), "card": card})
    with writing(path) as aside:
        save_file(arrays, aside, metadata={"forest": told})


def load_trees(path: Path) -> tuple[Trees, dict[str, Any]]:
    """Return a forest and the values written beside it.

    Raises:
        InputError: the file is missing or is no forest.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            told = json.loads((file.metadata() or {})["forest"])
            arrays = {name: file.get_tensor(name) for name in Trees._fields if name != "columns"}
        return Trees(columns=tuple(told["columns"]), **arrays), told["card"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no forest of this version ({error}); run `panderm finetune` again") from error
