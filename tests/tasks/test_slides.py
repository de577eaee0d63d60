from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from panderm.catalog import Benchmark, benchmark
from panderm.catalog.table import BENCHMARKS
from panderm.core.errors import InputError
from panderm.core.tables import to_table
from panderm.curation.splits import assign_folds
from panderm.evaluation.attention_plots import SlideView, mosaic, ranks
from panderm.tasks import slides
from panderm.tasks.kinds import Given
from panderm.training import bags
from panderm.training.bags import Bags, Inputs, each_bag, slide_table
from panderm.training.place import ALONE
from panderm.training.slides import Settings, SlidesFit, train, weights_name
from panderm.training.slides_recipe import SlidesRecipe

TASK = next(row for row in BENCHMARKS if row.key == "cptac_cm").model_copy(update={"folds": 3})
RECIPE = SlidesRecipe(epochs=20, learning_rate=1e-2, hidden=32, attention=16, dropout_input=0.0, dropout=0.1, patience=None)
Make = Callable[[Benchmark, list[dict[str, Any]]], Given]


def tiles(cases: int = 18, each: int = 6) -> list[dict[str, Any]]:
    """A slide a case, of grey tiles; on tumour slides one or two are dark."""
    rng = np.random.default_rng(0)
    rows = []
    for case in range(cases):
        tumour = case % 2
        for tile in range(each + case % 3):
            dark = tumour and tile < 1 + case % 4 // 2
            pixels = rng.normal(60 if dark else 170, 15, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            place = {"x": 512 * (tile % 3), "y": 512 * (tile // 3), "span": 512}
            facts = {"label": TASK.classes[tumour], "split": "test", "fold": case // 2 % 3, "lesion_id": f"c:s{case:02d}"}
            facts |= {"patient_id": f"c:{case:02d}", "group": f"c:{case:02d}", "attributes": json.dumps(place)}
            rows.append(facts | {"pixels": pixels, "image_id": f"s{case:02d}_{tile}"})
    return rows


@pytest.fixture
def given(make_given: Make) -> Given:
    return make_given(TASK, tiles())


def inputs(given: Given) -> Inputs:
    return Inputs(given.encoder, given.data, given.features)


def settings(given: Given, recipe: SlidesRecipe = RECIPE) -> Settings:
    home = {"split": given.split / "split.parquet", "data": given.data, "encoder": given.encoder, "features": given.features}
    return Settings(recipe=recipe, classes=2, folds=3, **home)


@pytest.mark.slow
def test_kind__finds_slides_with_dark_tiles_out_of_fold(given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from panderm import evaluate, finetune
    from panderm.tasks import kinds

    monkeypatch.setattr(kinds, "kind_of", lambda _: slides)
    model, evaluation = tmp_path / "model", tmp_path / "evaluation"
    config = finetune.Config(slides=RECIPE)
    record = finetune.run(config, TASK, given.split, given.data, given.encoder, given.features, model, on_line=[].append)
    assert {"folds.json", "model.json", "curves.png", *(weights_name(fold) for fold in range(3))} <= {
        p.name for p in model.iterdir()
    }
    assert record.values["tiles"] == len(given.rows.frame)
    judged = evaluate.Config(min_groups=5, replicates=200)
    report = evaluate.run(judged, TASK, given.split, given.data, given.encoder, model, given.features, None, evaluation).values
    assert report["value"] > 0.9
    assert report["low"] < report["value"]
    told = json.loads((evaluation / "report.json").read_text())
    assert (told["n"], told["groups"], told["tiles"]) == (18, 18, len(given.rows.frame))
    assert len(told["folds"]["auroc"]) == 3
    assert told["folds"]["low"] <= told["folds"]["mean"]
    assert {"attention.png", "roc.png", "confusion.png"} <= {path.name for path in evaluation.iterdir()}

    predictions = slides.predict(given, model)
    assert to_table(predictions, slides.schema(TASK)).num_rows == 18
    tile_rows = given.rows.frame
    sick = tile_rows[tile_rows["lesion_id"] == "c:s01"]
    view = slides.view(given, model, sick)
    assert view.attention.argmax() == 0, "the dark tile counts most"
    assert view.places.tolist()[:4] == [[0, 0], [1, 0], [2, 0], [0, 1]]
    (model / "fold_1.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match=r"fold_1.safetensors is missing or not the file folds.json describes"):
        slides.predict(given, model)


def test_train__a_killed_training_goes_on_to_the_same_bytes(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = settings(given, RECIPE.model_copy(update={"epochs": 3, "hidden": 4, "attention": 4})).model_dump(mode="json")
    train(values, tmp_path / "a", ALONE, [].append)
    real = SlidesFit.epoch

    def killed(self: SlidesFit, number: int) -> float:
        if (self.fold, number) == (1, 2):
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(SlidesFit, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        train(values, tmp_path / "b", ALONE, [].append)
    monkeypatch.setattr(SlidesFit, "epoch", real)
    train(values, tmp_path / "b", ALONE, [].append)
    for name in ("final.json", *(weights_name(fold) for fold in range(3))):
        assert (tmp_path / "a" / "final" / name).read_bytes() == (tmp_path / "b" / "final" / name).read_bytes()


def test_train__a_fold_ends_when_validation_does_not_get_better(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.7, 0.5, 0.6, 0.9] * 3)
    monkeypatch.setattr(SlidesFit, "score", lambda _: -next(losses))
    said: list[str] = []
    values = settings(given, RECIPE.model_copy(update={"patience": 2})).model_dump(mode="json")
    train(values, tmp_path / "w", ALONE, said.append)
    told = json.loads((tmp_path / "w" / "final" / "final.json").read_text())["folds"]
    assert [(fold["epoch"], fold["val_loss"], len(fold["history"])) for fold in told] == [(2, 0.5, 4)] * 3
    assert "fold 1 of 3, epoch 4/20: no better for 2 epochs" in said


def test_fit__never_trains_or_chooses_on_the_slides_it_is_judged_by(given: Given, tmp_path: Path) -> None:
    frame = given.rows.frame
    for fold in range(3):
        fit = SlidesFit(settings(given), fold, ALONE, Bags(frame, inputs(given), tmp_path / f"{fold}.npy"))
        table = fit.bags.slides
        seen = set(table["group"].iloc[[*fit.train, *fit.val]])
        assert seen == set(frame.loc[frame["fold"] != fold, "group"])
        assert not set(fit.train) & set(fit.val)


def test_bags__are_the_same_in_parts_and_from_the_file(given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = given.rows.frame.sample(frac=1, random_state=0)
    whole = list(each_bag(frame, inputs(given), "x"))
    monkeypatch.setattr(bags, "MOST_TILES", 13)
    parts = list(each_bag(frame, inputs(given), "x"))
    table = slide_table(frame)
    assert [len(bag) for _, bag in parts] == table["tiles"].tolist()
    assert [rows["lesion_id"].iloc[0] for rows, _ in parts] == table["slide"].tolist()
    stored = Bags(frame, inputs(given), tmp_path / "f.npy")
    for number, ((rows, one), (same, other)) in enumerate(zip(whole, parts, strict=True)):
        assert rows["image_id"].tolist() == same["image_id"].tolist() == sorted(rows["image_id"])
        assert (one == other).all()
        assert (stored.bag(number) == one).all()


def published(labels: list[tuple[str, str, str]]) -> pd.DataFrame:
    rows = [
        {"image_id": f"i{n}", "group": case, "lesion_id": slide, "label": label}
        for n, (case, slide, label) in enumerate(labels)
    ]
    return pd.DataFrame(rows)


def test_prepare__balances_what_a_case_has_slides_of_and_counts_slides() -> None:
    rows = published(
        [("a", "s1", "normal"), ("a", "s2", "tumour"), ("b", "s3", "tumour"), ("b", "s3", "tumour"), ("c", "", "wart")]
    )
    prepared = slides.prepare(TASK, rows, pd.DataFrame())
    assert prepared.rows["stratum"].tolist() == ["normal + tumour"] * 2 + ["tumour"] * 2
    assert prepared.rows["case"].tolist() == ["s1", "s2", "s3", "s3"]
    assert prepared.left_out == {"unlabelled": 1, "without_slide": 0, "several_labels": 0}
    with pytest.raises(InputError, match="none of its 1 images belongs to a slide"):
        slides.prepare(TASK, published([("a", "s", "normal")]).assign(lesion_id=None), pd.DataFrame())


def test_prepare__a_slide_of_two_labels_is_left_out_and_named_and_the_others_go_on() -> None:
    clash = [("a", "s1", "normal"), ("a", "s1", "tumour")]
    prepared = slides.prepare(TASK, published([*clash, ("a", "s2", "normal"), ("b", "s3", "tumour")]), pd.DataFrame())
    assert prepared.rows["case"].tolist() == ["s2", "s3"]
    assert prepared.rows["stratum"].tolist() == ["normal", "tumour"], "what is left out balances nothing"
    assert prepared.left_out == {"unlabelled": 0, "without_slide": 0, "several_labels": 2}
    assert prepared.notes == ("slide s1 is left out: its images have the labels normal, tumour, but the label is the slide's",)
    with pytest.raises(InputError, match=r"no slide is left \(slide s1 is left out: .*\); mend the labels"):
        slides.prepare(TASK, published(clash), pd.DataFrame())


def test_assign_folds__a_slide_counts_once_however_many_tiles_it_has() -> None:
    sizes = [200, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    labels = [(f"c{case}", f"s{case}", "tumour") for case, size in enumerate(sizes) for _ in range(size)]
    rows = slides.prepare(TASK, published(labels), pd.DataFrame()).rows
    table = rows.assign(label=rows["stratum"])
    fold = assign_folds(table, pd.Series(dtype=object), 5, 0)
    counted = table.assign(fold=fold).drop_duplicates("lesion_id")["fold"].value_counts()
    assert counted.tolist() == [2] * 5
    assert assign_folds(table.drop(columns="case"), pd.Series(dtype=object), 5, 0).value_counts().max() >= 200


def test_fit__refuses_folds_that_train_on_one_label(make_given: Make, tmp_path: Path) -> None:
    rows = [row for row in tiles() if row["label"] == "tumour"]
    with pytest.raises(InputError, match="fold 1 would train on slides of tumour alone, but two labels are needed"):
        slides.fit(RECIPE, make_given(TASK, rows), tmp_path)


def test_draw__refuses_tiles_without_a_place(given: Given) -> None:
    frame = given.rows.frame.assign(attributes=None)
    with pytest.raises(InputError, match="image s00_0 does not say where on its slide it was"):
        slides.places(frame)


def test_telling_slides__best_and_worst_of_each_class() -> None:
    table = pd.DataFrame({"image_id": list("abcd"), "target": [0, 0, 0, 1], "p_0": [0.2, 0.9, 0.5, 0.4]})
    assert slides.telling_slides(table.assign(p_1=1 - table["p_0"]))["image_id"].tolist() == ["b", "a", "d"]


def test_mosaic_and_ranks__put_tiles_where_they_were() -> None:
    small = np.stack([np.full((32, 32, 3), value, dtype=np.uint8) for value in (10, 20, 30)])
    view = SlideView("s", np.array([[0, 0], [2, 0], [1, 1]]), small, np.array([0.2, 0.7, 0.1], dtype=np.float32))
    picture = mosaic(view)
    assert picture.shape == (64, 96, 3)
    assert [int(picture[y, x, 0]) for y, x in ((5, 5), (5, 70), (40, 40), (40, 5))] == [10, 20, 30, 255]
    assert np.nan_to_num(ranks(view), nan=-1).tolist() == [[0.5, -1, 1], [-1, 0, -1]]
    lone = SlideView("s", np.zeros((1, 2), dtype=np.int64), small[:1], np.ones(1, dtype=np.float32))
    assert ranks(lone).tolist() == [[0]]
    assert Image.fromarray(mosaic(lone)).size == (32, 32)


def test_catalogue__the_papers_task() -> None:
    task = benchmark("cptac_cm")
    assert (task.folds, task.protocol, task.metric, task.classes) == (5, "abmil", "auroc", ("normal", "tumour"))
