"""The way of a segmentation from its model to a release and back as champion, on pictures of discs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

from panderm import evaluate, export, gate, release
from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import Refused
from panderm.core.files import read_json, write_json
from panderm.core.tables import SPLIT, write_table
from panderm.evaluation.verdict import load_verdict
from panderm.imaging.masks import marked, overlap, squeezed
from panderm.imaging.preprocessing import Preprocessing
from panderm.imaging.shards import ShardWriter
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, save_encoder
from panderm.models.mask_model import MaskModel, load_mask_model, load_network
from panderm.models.task_model import load_model_card
from panderm.serving import bundle as bundles
from panderm.serving import repository as repo
from panderm.tasks.rows import read_rows

TASK = benchmark("ham10000_seg")
SPEC = Preprocessing(size=32, resize=36)
TINY = EncoderConfig(image_size=32, patch_size=8, width=32, depth=2, heads=2)
CONFIG = export.Config(real_images=5, random_images=2, batch_sizes=(1, 3))
GATE = gate.Config(tasks={TASK.key: gate.TaskThresholds(floor=0.0)})  # untrained networks mark discs badly


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def publish(data: Path, split: Path, images: int = 24) -> None:
    """Publish oblong pictures of a disc with their masks; three in four are test images, each a lesion of its own."""
    rng, rows = np.random.default_rng(0), []
    shard = f"benchmarks/{TASK.key}/shards/000000.tar"
    (data / shard).parent.mkdir(parents=True)
    with ShardWriter(data / shard) as writer:
        for number in range(images):
            y, x = np.mgrid[:36, :52]
            mask = (y - rng.uniform(12, 24)) ** 2 + (x - rng.uniform(14, 38)) ** 2 < rng.uniform(6, 11) ** 2
            picture = png((rng.integers(0, 60, (36, 52, 3)) + 150 * mask[..., None]).astype(np.uint8))
            places = [writer.add(f"{kind}{number}", "png", file, {}) for kind, file in (("i", picture), ("m", png(mask)))]
            row = {"image_id": f"i{number:02d}", "group": f"g{number:02d}", "label": "lesion", "target": 1, "shard": shard}
            row |= {"split": ("train", "test", "test", "test")[number % 4], "sex": ("female", "male")[number // 4 % 2]}
            row |= {"offset": places[0].offset, "nbytes": places[0].nbytes, "stored_sha256": "0" * 64, "mask_shard": shard}
            rows.append(row | {"mask_offset": places[1].offset, "mask_nbytes": places[1].nbytes})
    write_table(split / "split.parquet", pd.DataFrame(rows), SPLIT)


class Place(NamedTuple):
    """A workspace with a segmentation model of two seeds, of which the second is served."""

    root: Path
    task: Benchmark = TASK

    def folder(self, name: str) -> Path:
        return self.root / name

    def judge(self, champion: Path | None = None) -> None:
        names = ("split", "data", "encoder", "model", "features")
        folders = (self.folder(name) for name in names)
        evaluate.run(evaluate.Config(replicates=200, min_groups=5), TASK, *folders, champion, self.folder("evaluation"))
        gate.run(GATE, TASK, self.folder("evaluation"), self.folder("model"), self.folder("verdict"))

    def export(self, config: export.Config = CONFIG) -> bundles.Bundle:
        names = ("split", "data", "model", "encoder", "evaluation", "verdict", "work", "bundle")
        export.run(config, TASK, *(self.folder(name) for name in names))
        return bundles.check_bundle(self.folder("bundle"), TASK.key)


@pytest.fixture
def place(tmp_path: Path, lay_masks: Callable[..., Path]) -> Place:
    made = Place(tmp_path)
    publish(made.folder("data"), made.folder("split"))
    made.folder("encoder").mkdir()
    save_encoder(made.folder("encoder"), build_untrained_encoder(TINY, 0), EncoderCard(architecture=TINY, preprocessing=SPEC))
    rows = read_rows(TASK, made.folder("split"))
    lay_masks(TASK, rows, made.folder("data"), made.folder("encoder"), made.folder("model"), served=1)
    return made


@pytest.mark.slow
def test_export__a_mask_goes_from_its_model_to_release_and_back_as_champion(place: Place) -> None:
    place.judge()
    bundle = place.export()
    assert (bundle.answers, bundle.graphs, bundle.protocol) == ("mask", ("network.onnx",), "upernet")
    assert bundle.parity.max_abs_probability < 1e-4
    assert bundle.parity.max_abs_judged < 1e-6, "masks are not those that evaluation judged"
    assert bundle.parity.label_agreement > 0.999
    assert (bundle.parity.real_images, bundle.parity.random_images) == (5, 2)
    report = read_json(place.folder("bundle") / "report.json")
    assert bundle.metric == report["others"]["jaccard_served"]
    assert bundle.metric["value"] != report["value"], "the served network is not the mean over the seeds"
    assert bundles.load_preprocessing(place.folder("bundle")) == squeezed(SPEC)
    graph = onnx.load(str(place.folder("bundle") / "network.onnx")).graph
    (output,) = graph.output
    shape = output.type.tensor_type.shape.dim
    assert (output.name, shape[0].dim_param != "", [side.dim_value for side in shape[1:]]) == ("mask", True, [32, 32])

    card = (place.folder("bundle") / "MODEL_CARD.md").read_text()
    served = "**jaccard served {value:.3f} ({low:.3f} to {high:.3f})** on 18 images".format(**bundle.metric)
    for sentence in (
        served,
        "This is the network of seed 2 of 2, chosen by its Jaccard index on the validation split, of 0.500, 0.600; the",
        f"The mean over all seeds is jaccard {report['value']:.3f}; the verdict speaks of the network that is served.",
        "Not for telling whether there is a lesion",
        "Image: upright, RGB, squeezed to 32 x 32 whatever its sides (bicubic, antialiased), mean",
        "It marks one piece without holes",
        "no finer than 32 x 32 squares over the whole picture; the figures are of these, and lower at the picture's own size.",
        "| all | dice served |",
        "| sex=female | jaccard served |",
        "| its weights | `network_1.safetensors` |",
    ):
        assert sentence in card, sentence
    assert ("does not touch the lesion" in card) == (report["served"]["missed"] > 0)

    repository = place.folder("triton_repo")
    assert release.run(release.Config(), TASK, place.folder("bundle"), repository).values["serving"] == 1
    config = (repository / TASK.key / "config.pbtxt").read_text()
    assert 'name: "mask"' in config
    assert "label_filename" not in config
    assert repo.serving_components(TASK.key, repository)[1].startswith("ham10000_seg_network_")
    assert release.run(release.Config(), TASK, place.folder("bundle"), repository).values["new"] is False

    champion = release.champion(TASK, repository)
    place.judge(champion)
    ours, theirs = (pd.read_parquet(place.folder("evaluation") / f"{name}predictions.parquet") for name in ("", "champion_"))
    np.testing.assert_allclose(ours["jaccard_served"], theirs["jaccard"], atol=1e-6)
    held = next(c for c in load_verdict(place.folder("verdict")).criteria if c.name == "champion")
    assert held.reason.startswith(
        "Against version 1 on the same 18 images the Jaccard of the network that is served differs by"
    )
    assert held.seen == "+0.000 (+0.000 to +0.000)", "a model against itself"


@pytest.mark.slow
def test_export__a_network_that_evaluation_did_not_judge_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.judge()

    def another(model: Path) -> MaskModel:
        card = load_model_card(model)
        return MaskModel(
            card, load_network(card, model / "network.safetensors", card.config["weights_of_seeds"]["network.safetensors"])
        )

    monkeypatch.setattr("panderm.models.mask_model.load_mask_model", another)
    with pytest.raises(Refused, match=r"differ from what evaluation judged by \S+ in a Jaccard index, and 1e-02 is allowed"):
        place.export()
    assert not place.folder("bundle").exists()


def test_export__a_model_whose_card_says_that_it_crops_is_refused(place: Place) -> None:
    path = place.folder("model") / "model.json"
    write_json(path, read_json(path) | {"preprocessing": read_json(place.folder("encoder") / "encoder.json")["preprocessing"]})
    place.judge()
    with pytest.raises(Refused, match=r"is of a version that served no masks: .*; run `panderm finetune ham10000_seg` again"):
        place.export()


def test_evaluate__of_the_served_network_are_the_masks_it_gives(place: Place) -> None:
    from panderm.imaging.masks import load_pairs

    place.judge()
    model, test = load_mask_model(place.folder("model")), read_rows(TASK, place.folder("split")).part("test")
    images, masks = load_pairs(test, place.folder("data"), SPEC)
    found = [overlap(marked(one), true)[1] for one, true in zip(model.probabilities(images), masks, strict=True)]
    judged = pd.read_parquet(place.folder("evaluation") / "predictions.parquet")
    np.testing.assert_allclose(judged["jaccard_served"], found, atol=1e-6)
    assert 0 < np.mean(found) < 1
