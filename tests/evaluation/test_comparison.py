from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import ttest_rel

from panderm.catalog import benchmark
from panderm.cli.compare import command
from panderm.core.errors import InputError
from panderm.core.files import read_json
from panderm.core.tables import read_table
from panderm.evaluation.bootstrap import auroc
from panderm.evaluation.comparison import COMPARISONS, Pair, as_markdown, compare_models, find_predictions, with_holm
from panderm.evaluation.figures import Resampling

ISIC, HAM = benchmark("isic2024"), benchmark("ham10000")
QUICK = Resampling(replicates=100)


def predictions(classes: int, strength: float, seed: int, n: int = 90) -> pd.DataFrame:
    """Predictions on one test split, two images a patient; strength 0 is chance."""
    target = np.random.default_rng(99).integers(0, classes, n)
    logits = np.random.default_rng(seed).normal(0, 1, (n, classes))
    logits[np.arange(n), target] += strength
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"image_id": [f"i{row:03d}" for row in range(n)], "group": [f"p{row // 2}" for row in range(n)]})
    frame = frame.assign(
        target=target, label="", predicted=shares.argmax(axis=1), age=50.0, sex="female", site="", skin_type=""
    )
    return frame.assign(**{f"p_{c}": shares[:, c].astype(np.float32) for c in range(classes)})


def store(root: Path, task: str, frame: pd.DataFrame) -> Path:
    folder = root / "artifacts" / "tasks" / task / "evaluation"
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "predictions.parquet")
    return folder / "predictions.parquet"


def test_compare__a_better_model_is_seen_by_interval_and_both_tests(tmp_path: Path) -> None:
    good, poor = predictions(2, 2.0, 1), predictions(2, 0.2, 2)
    pair = Pair(ISIC, "other", store(tmp_path / "a", "isic2024", good), store(tmp_path / "b", "isic2024", poor))
    row = compare_models(pair, QUICK, permutations=199)
    assert row["difference"] == pytest.approx(auroc(good["target"], good["p_1"]) - auroc(poor["target"], poor["p_1"]))
    assert row["low"] > 0
    assert row["p_permutation"] == pytest.approx(1 / 200)
    assert row["p_t"] < 0.01
    assert (row["n"], row["groups"]) == (90, 45)


def test_compare__a_model_with_itself_is_no_different(tmp_path: Path) -> None:
    path = store(tmp_path, "ham10000", predictions(7, 1.0, 1))
    row = compare_models(Pair(HAM, "itself", path, path), QUICK, permutations=99)
    assert (row["difference"], row["low"], row["high"], row["p_permutation"], row["p_t"]) == (0, 0, 0, 1, 1)


def test_compare__plain_takes_every_image_for_itself(tmp_path: Path) -> None:
    paths = store(tmp_path / "a", "isic2024", predictions(2, 1, 1)), store(tmp_path / "b", "isic2024", predictions(2, 1, 2))
    row = compare_models(Pair(ISIC, "other", *paths), QUICK._replace(unit="plain"), permutations=99)
    assert row["groups"] == 90


def test_compare__other_images_or_labels_are_refused_by_name(tmp_path: Path) -> None:
    frame = predictions(2, 1, 1)
    ours = store(tmp_path / "a", "isic2024", frame)
    fewer = store(tmp_path / "b", "isic2024", frame.iloc[:-1])
    with pytest.raises(InputError, match="isic2024 against other: 1 cases are in one table only, the first is i089"):
        compare_models(Pair(ISIC, "other", ours, fewer), QUICK)
    turned = store(tmp_path / "c", "isic2024", frame.assign(target=1 - frame["target"]))
    with pytest.raises(InputError, match="i000 has two labels"):
        compare_models(Pair(ISIC, "other", ours, turned), QUICK)


def folded(strength: float, seed: int) -> pd.DataFrame:
    frame = predictions(2, strength, seed)
    fold = (np.arange(90) // 2 % 5).astype(np.int32)
    return frame.assign(fold=fold, sequence=frame["group"], time_point=0.0)


def test_compare__folds_are_paired_where_they_hold_the_same_cases(tmp_path: Path) -> None:
    task, good, poor = benchmark("sddi_alfred"), folded(0.8, 1), folded(0.2, 2)
    ours, theirs = store(tmp_path / "a", task.key, good), store(tmp_path / "b", task.key, poor)
    row = compare_models(Pair(task, "other", ours, theirs), QUICK, permutations=99)
    figures = [[auroc(part["target"], part["p_1"]) for _, part in frame.groupby("fold")] for frame in (good, poor)]
    assert row["folds"] == 5
    assert row["p_folds"] == pytest.approx(ttest_rel(*figures).pvalue)
    dealt_anew = store(tmp_path / "c", task.key, poor.assign(fold=poor["fold"].to_numpy()[::-1]))
    again = compare_models(Pair(task, "other", ours, dealt_anew), QUICK, permutations=99)
    assert again["folds"] == 0
    assert np.isnan(again["p_folds"])
    text = as_markdown(with_holm([row, again]), QUICK, 99)
    assert f"{row['p_folds']:.3f} ({row['p_folds']:.3f}) |" in text, "Holm counts only the comparisons that have such a test"
    assert text.count("| no folds |") == 1


def test_find_predictions__in_a_workspace_or_folder_or_says_where_not(tmp_path: Path) -> None:
    path = store(tmp_path, "isic2024", predictions(2, 1, 1))
    for folder in (tmp_path, tmp_path / "artifacts" / "tasks", path.parent):
        assert find_predictions(folder, ISIC) == path
    with pytest.raises(InputError, match=r"has no predictions.parquet of ham10000"):
        find_predictions(tmp_path, HAM)


def test_with_holm__adjusts_over_all_rows() -> None:
    rows = [
        dict.fromkeys(COMPARISONS.names, 0.0) | {"task": f"t{n}", "p_permutation": p, "p_t": p}
        for n, p in enumerate((0.01, 0.04))
    ]
    frame = with_holm(rows)
    assert frame["p_permutation_holm"].tolist() == pytest.approx([0.02, 0.04])


def test_command__two_tasks_against_another_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task, classes in (("isic2024", 2), ("ham10000", 7)):
        store(tmp_path / "here", task, predictions(classes, 1.5, 1))
        store(tmp_path / "baseline", task, predictions(classes, 0.5, 2))
    monkeypatch.setenv("PANDERM_WORKSPACE", str(tmp_path / "here"))
    arguments = ["isic2024", "ham10000", "--against", str(tmp_path / "baseline"), "--replicates", "100", "--permutations", "99"]
    outputs = []
    for _ in range(2):
        done = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        folder = tmp_path / "here" / "reports" / "comparison"
        outputs.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert outputs[0] == outputs[1]
    table = read_table(folder / "comparison.parquet", COMPARISONS)
    assert table["against"].tolist() == ["baseline", "baseline"]
    assert (table["p_permutation_holm"] >= table["p_permutation"]).all()
    assert read_json(folder / "comparison.json")["comparisons"][0]["task"] == "isic2024"
    assert "| isic2024 | baseline | auroc | 90 (45) |" in done.output
