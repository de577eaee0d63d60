from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from panderm.core.errors import InputError
from panderm.models.extra_trees import Trees, grow, load_trees, of_forest, save_trees


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 4)).round(2)  # rounding makes values meet thresholds
    return values, (values[:, 1] + 0.5 * values[:, 2] + rng.normal(0, 0.3, count) > 0.8).astype(np.int64)


@pytest.fixture(scope="module")
def forest() -> Trees:
    values, target = rows(400)
    return grow(values, target, ("a", "b", "c", "d"), trees=12, leaf=3, seed=0)


@pytest.mark.parametrize("leaf", [1, 4])
def test_probability__is_scikit_learn_s(leaf: int) -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    values, target = rows(500)
    theirs = ExtraTreesClassifier(20, min_samples_leaf=leaf, class_weight="balanced", random_state=1).fit(values, target)
    asked = np.concatenate([rows(300, seed=1)[0], values, [[1e30, -1e30, 0, 0]]])
    ours = of_forest(theirs, ("a", "b", "c", "d")).probability(asked)
    assert ours == pytest.approx(theirs.predict_proba(asked)[:, 1], abs=1e-12)


def test_save_trees__reads_back_with_equal_bytes_and_the_same_answers(forest: Trees, tmp_path: Path) -> None:
    save_trees(tmp_path / "a.safetensors", forest, {"x": [1]})
    save_trees(tmp_path / "b.safetensors", grow(*rows(400), forest.columns, trees=12, leaf=3, seed=0), {"x": [1]})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    back, card = load_trees(tmp_path / "a.safetensors")
    assert card == {"x": [1]}
    assert back.columns == forest.columns
    assert (back.probability(rows(50, 2)[0]) == forest.probability(rows(50, 2)[0])).all()


def test_load_trees__something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no forest")
    with pytest.raises(InputError, match="is no forest of this version"):
        load_trees(tmp_path / "x")


@pytest.mark.parametrize("told", [{}, {"forest": "[]"}, {"forest": "{}"}, {"forest": '{"columns": 1, "card": {}}'}])
def test_load_trees__another_files_words_are_one_sentence(forest: Trees, tmp_path: Path, told: dict[str, str]) -> None:
    save_trees(tmp_path / "x", forest, {})
    with safe_open(tmp_path / "x", framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    save_file(arrays, tmp_path / "x", metadata=told)
    with pytest.raises(InputError, match="is no forest of this version"):
        load_trees(tmp_path / "x")


def test_importance__adds_up_to_the_probability_and_finds_what_tells(forest: Trees) -> None:
    asked = rows(60, seed=3)[0]
    found = forest.importance(asked)
    base = forest.probability(asked) - found.sum(axis=1)
    assert base == pytest.approx(np.full(60, base[0]), abs=1e-6)
    assert np.abs(found).mean(axis=0).argmax() == 1


def test_importance__is_that_of_shap_on_the_forest_itself() -> None:
    from shap import TreeExplainer
    from sklearn.ensemble import ExtraTreesClassifier

    values, target = rows(300)
    theirs = ExtraTreesClassifier(8, min_samples_leaf=3, random_state=0).fit(values, target)
    expected = TreeExplainer(theirs).shap_values(values[:20])[:, :, 1]
    assert of_forest(theirs, "abcd").importance(values[:20]) == pytest.approx(expected, abs=1e-6)
