from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from panderm import evaluate, finetune
from panderm.core.errors import InputError
from panderm.core.files import read_json, sha256_bytes, sha256_file
from panderm.core.record import Record
from panderm.core.tables import SPLIT, read_table, write_table
from panderm.evaluation.evidence import gather_evidence
from panderm.evaluation.plots import NAMES
from panderm.evaluation.tables import METRICS
from panderm.models.task_model import load_model_card, load_task_model

World = Callable[..., SimpleNamespace]


def fit(world: SimpleNamespace) -> Path:
    config = finetune.Config.parse({"protocol": "linear_probe", "linear_probe": {"max_iter": 40}})
    out: Path = world.root / "model"
    finetune.run(config, world.task, world.split, world.data, world.encoder, world.features, out, on_line=[].append)
    return out


def judge(world: SimpleNamespace, champion: Path | None = None, out: str = "evaluation", **settings: Any) -> Record:
    config = evaluate.Config.parse({"replicates": 100} | settings)
    folders = (world.split, world.data, world.encoder, world.root / "model", world.features)
    return evaluate.run(config, world.task, *folders, champion, world.root / out)


@pytest.fixture
def world(make_task_world: World) -> SimpleNamespace:
    made = make_task_world("pad_ufes", images=180, signal=25)
    fit(made)
    return made


def test_run__report_is_bound_and_the_gate_can_read_it(world: SimpleNamespace) -> None:
    record = judge(world)
    folder = world.root / "evaluation"
    report = read_json(folder / "report.json")
    assert report["metric"] == "weighted_f1"
    assert report["low"] <= report["value"] <= report["high"]
    assert (report["n"], report["groups"]) == (36, 12)
    assert report["model_sha256"] == sha256_file(world.root / "model" / "model.json")
    assert report["split_sha256"] == sha256_file(world.split / "split.parquet")
    assert report["preprocessing_sha256"] == sha256_bytes(world.spec.to_json().encode())
    assert report["predictions_sha256"] == sha256_file(folder / "predictions.parquet")
    assert record.hashes["report"] == sha256_file(folder / "report.json")
    evidence = gather_evidence(world.task, folder, world.root / "model")
    assert evidence.champion is None
    assert len(evidence.predictions) == 36


def test_run__tables_hold_every_scope(world: SimpleNamespace) -> None:
    judge(world)
    table = pq.read_table(world.root / "evaluation" / "predictions.parquet").to_pandas()
    assert table["image_id"].is_monotonic_increasing
    scores = table[[f"p_{n}" for n in range(6)]].to_numpy()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert (scores.argmax(axis=1) == table["predicted"]).all()
    figures = read_table(world.root / "evaluation" / "metrics.parquet", METRICS)
    assert set(figures["scope"]) == {"overall", "class", "subgroup"}
    assert {"accuracy", "balanced_accuracy", "macro_recall", "kappa", "auroc", "auroc_ovo", "aupr", "brier"} <= set(
        figures.loc[figures["scope"] == "overall", "metric"]
    )
    assert set(figures.loc[figures["scope"] == "class", "name"]) == set(world.task.classes)
    small = figures[(figures["scope"] == "subgroup") & (figures["name"] == "sex=female")].iloc[0]
    assert np.isnan(small["low"])
    assert small["reason"] == f"{small['groups']} patients or lesions, an interval needs 15"
    assert not np.isnan(small["value"])
    for name in NAMES:
        assert Image.open(world.root / "evaluation" / f"{name}.png").width > 300


def test_run__same_inputs_same_bytes(world: SimpleNamespace) -> None:
    judge(world, out="a")
    judge(world, out="b")
    for path in (world.root / "a").iterdir():
        assert path.read_bytes() == (world.root / "b" / path.name).read_bytes(), path.name


def test_run__the_champion_answers_with_its_own_preprocessing(world: SimpleNamespace, make_bundle: Callable[..., Path]) -> None:
    champion = make_bundle("pad_ufes", folder=world.root / "triton_repo" / "pad_ufes" / "7" / "bundle")
    judge(world, champion)
    folder = world.root / "evaluation"
    named = read_json(folder / "report.json")["champion"]
    assert named["version"] == 7
    assert named["model_sha256"] == read_json(champion / "bundle.json")["model_sha256"]
    ours, theirs = (pq.read_table(folder / f"{name}predictions.parquet").to_pandas() for name in ("", "champion_"))
    assert (ours["image_id"] == theirs["image_id"]).all()
    assert not np.allclose(ours["p_0"], theirs["p_0"])
    assert gather_evidence(world.task, folder, world.root / "model").champion is not None


def test_run__a_champion_with_other_classes_is_refused(world: SimpleNamespace, make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="answers benign, malignant of 'isic2024', but the task is 'pad_ufes'"):
        judge(world, make_bundle("isic2024"))


def test_run__a_model_of_another_split_is_refused(world: SimpleNamespace) -> None:
    write_table(world.split / "split.parquet", world.frame.iloc[:-1], SPLIT)
    with pytest.raises(InputError, match=r"fitted on another split .* it may have seen test images"):
        judge(world)


def test_run__one_class_in_the_test_split_is_refused(world: SimpleNamespace) -> None:
    frame = world.frame[(world.frame["split"] != "test") | (world.frame["target"] == 2)]
    write_table(world.split / "split.parquet", pd.DataFrame(frame), SPLIT)
    fit(world)
    with pytest.raises(InputError, match="test split of pad_ufes has only 'MEL' in 6 images, but two classes are needed"):
        judge(world)


def test_run__weights_that_answer_nan_are_refused(world: SimpleNamespace) -> None:
    from safetensors.numpy import load_file, save_file

    from panderm.models.task_model import save_card

    path = world.root / "model" / "head.safetensors"
    tensors = load_file(path)
    tensors["weight"][2, 3] = np.nan
    save_file(tensors, path)
    card = load_model_card(world.root / "model")
    with pytest.raises(InputError, match=r"head\.safetensors is missing or not the file model\.json describes"):
        judge(world)
    save_card(world.root / "model", card.model_copy(update={"weights_sha256": sha256_file(path)}))
    with pytest.raises(InputError, match="the model of pad_ufes answers 36 of 36 test images with NaN"):
        judge(world)
    assert not (world.root / "evaluation").exists()


def test_run__pixels_and_features_give_the_same_answer(world: SimpleNamespace) -> None:
    from panderm.imaging.batches import prepared_batches

    judge(world)
    table = pq.read_table(world.root / "evaluation" / "predictions.parquet").to_pandas()
    test = world.frame[world.frame["split"] == "test"].sort_values("image_id")
    model = load_task_model(world.root / "model", world.encoder)
    answers = np.concatenate([model.probabilities(p) for p in prepared_batches(test, world.data, world.spec, batch=5)])
    np.testing.assert_allclose(answers, table[[f"p_{n}" for n in range(6)]].to_numpy(), atol=1e-5)


@pytest.fixture
def tuned(make_task_world: World) -> SimpleNamespace:
    """A world whose model is a fine-tuned network: random weights, as only how it is asked counts here."""
    import torch

    from panderm.models.encoder import load_card
    from panderm.models.heads import FineTunedNetwork
    from panderm.models.task_model import WEIGHTS, save_weights
    from panderm.tasks.cards import write_card
    from panderm.tasks.kinds import Fitted
    from panderm.tasks.rows import read_rows

    world = make_task_world("pad_ufes", images=180)
    card = load_card(world.encoder)
    torch.manual_seed(0)
    network = FineTunedNetwork(card.architecture, len(world.task.classes))
    torch.nn.init.normal_(network.head.weight)
    (world.root / "model").mkdir()
    save_weights(world.root / "model" / WEIGHTS["fine_tuning"], network)
    fitted = Fitted(WEIGHTS["fine_tuning"], "fine_tuning", {}, {})
    write_card(world.task, read_rows(world.task, world.split), card, fitted, world.root / "model")
    return world


def scores(folder: Path) -> np.ndarray:
    table = pq.read_table(folder / "predictions.parquet").to_pandas()
    return table[[name for name in table if name.startswith("p_")]].to_numpy()


def test_run__views_answer_by_the_mean_of_their_logits(tuned: SimpleNamespace) -> None:
    from panderm.imaging.shards import read_image_bytes
    from panderm.training.tta import random_views

    record = judge(tuned, views=5, seed=3)
    assert record.values["views"] == read_json(tuned.root / "evaluation" / "report.json")["views"] == 5
    row = tuned.frame[tuned.frame["split"] == "test"].sort_values("image_id").iloc[4]
    file = read_image_bytes(tuned.data, row["shard"], row["offset"], row["nbytes"])
    one_by_one = load_task_model(tuned.root / "model").probabilities(random_views(file, tuned.spec, 5, seed=3)).astype(float)
    mean = np.exp(np.log(one_by_one).mean(axis=0))  # softmax of the mean logit is the geometric mean, scaled
    np.testing.assert_allclose(scores(tuned.root / "evaluation")[4], mean / mean.sum(), atol=1e-5)


def test_run__views_give_the_same_bytes_twice(tuned: SimpleNamespace) -> None:
    judge(tuned, out="a", views=5)
    judge(tuned, out="b", views=5)
    for path in (tuned.root / "a").iterdir():
        assert path.read_bytes() == (tuned.root / "b" / path.name).read_bytes(), path.name


def test_run__views_of_an_image_hang_on_the_seed_and_not_on_its_company(tuned: SimpleNamespace) -> None:
    from panderm.tasks import diagnosis
    from panderm.tasks.kinds import Compute, Given
    from panderm.tasks.rows import read_rows

    folders = (tuned.split, tuned.data, tuned.encoder, tuned.features, tuned.features)
    given = Given(tuned.task, read_rows(tuned.task, tuned.split), *folders, views=5)
    test = given.rows.part("test")
    whole = diagnosis.probabilities(given, test, tuned.root / "model")
    few = given._replace(compute=Compute(feature_batch=12))
    np.testing.assert_allclose(diagnosis.probabilities(few, test.iloc[::-3], tuned.root / "model"), whole[::-3], atol=1e-6)
    other = diagnosis.probabilities(given._replace(seed=1), test, tuned.root / "model")
    assert np.abs(other - whole).max() > 1e-3


def test_run__without_views_the_plain_one_is_judged(tuned: SimpleNamespace) -> None:
    assert judge(tuned).values["views"] == 1
    from panderm.imaging.batches import prepared_batches

    test = tuned.frame[tuned.frame["split"] == "test"].sort_values("image_id")
    (pixels,) = prepared_batches(test, tuned.data, tuned.spec)
    plain = load_task_model(tuned.root / "model").probabilities(pixels)
    np.testing.assert_allclose(scores(tuned.root / "evaluation"), plain, atol=1e-6)


def test_run__a_linear_probe_has_one_view_whatever_is_set(world: SimpleNamespace) -> None:
    judge(world, out="one")
    assert judge(world, out="five", views=5).values["views"] == 1
    np.testing.assert_array_equal(scores(world.root / "one"), scores(world.root / "five"))
