from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from panderm.core.errors import InputError
from panderm.core.tables import SPLIT, write_table
from panderm.training.probe import balanced_accuracy, labelled, nearest_neighbours, probed_tasks


def write_split(splits: Path, task: str, **columns: object) -> None:
    count = 60
    frame = pd.DataFrame(
        {
            "image_id": [f"{index:02d}" for index in range(count)],
            "split": ["train"] * 36 + ["val"] * 12 + ["test"] * 12,
            "target": ([0] * 5 + [1]) * 10,
            "label": ([*"aaaaa", "b"]) * 10,
        }
    )
    write_table(splits / task / "split.parquet", frame.assign(**columns), SPLIT)


def test_labelled__takes_classes_alike_and_never_a_test_image(tmp_path: Path) -> None:
    write_split(tmp_path, "ham10000")
    chosen = labelled(tmp_path, "ham10000", images=15)
    assert chosen is not None
    assert chosen.frame["split"].tolist() == ["train"] * 10 + ["val"] * 5
    assert chosen.frame[: chosen.train]["target"].value_counts().to_dict() == {0: 5, 1: 5}
    assert chosen.chance == 0.5
    again = labelled(tmp_path, "ham10000", images=15)
    assert again is not None
    assert again.frame.equals(chosen.frame)


@pytest.mark.parametrize("columns", [{"split": "test"}, {"label": None}, {"target": 1}])
def test_labelled__leaves_out_what_cannot_be_probed(tmp_path: Path, columns: dict[str, object]) -> None:
    write_split(tmp_path, "sddi1", **columns)
    assert labelled(tmp_path, "sddi1", images=15) is None


def test_probed_tasks__are_those_with_splits_or_those_named(tmp_path: Path) -> None:
    write_split(tmp_path, "ham10000")
    write_split(tmp_path, "ddi")
    assert probed_tasks(tmp_path, None) == ["ddi", "ham10000"]
    assert probed_tasks(tmp_path, ("ham10000",)) == ["ham10000"]
    assert probed_tasks(tmp_path, ()) == []
    with pytest.raises(InputError, match="unknown task with a split 'ham'; allowed: ddi, ham10000; run `panderm curate`"):
        probed_tasks(tmp_path, ("ham",))


def test_balanced_accuracy__is_one_for_classes_that_lie_apart_and_chance_for_one_vector(tmp_path: Path) -> None:
    write_split(tmp_path, "ham10000")
    chosen = labelled(tmp_path, "ham10000", images=30)
    assert chosen is not None
    targets = chosen.frame["target"].to_numpy()
    apart = np.stack([np.ones(len(targets)), 0.01 * targets], axis=1).astype(np.float32)  # nearly one direction
    assert balanced_accuracy(chosen, apart) == 1.0
    assert balanced_accuracy(chosen, np.ones_like(apart)) == 0.5


def test_nearest_neighbours__the_nearer_weigh_more() -> None:
    train = np.array([[1, 0], [0, 1], [0, -1], [-1, 0]], dtype=np.float32)
    shares = nearest_neighbours(train, np.array([0, 1, 1, 1]), np.array([[1, 0.1]], dtype=np.float32), classes=2)
    assert shares.shape == (1, 2)
    assert shares[0, 0] > 0.99
