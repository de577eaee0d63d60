from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image

from panderm import evaluate, export, finetune, gate, release
from panderm.catalog import Benchmark, benchmark
from panderm.core.errors import ConfigError, InputError, Refused
from panderm.core.files import read_json, sha256_file, write_json
from panderm.core.record import Record
from panderm.core.tables import SPLIT, write_table
from panderm.evaluation.verdict import Criterion, Outcome, Verdict
from panderm.imaging.preprocessing import Preprocessing, prepare_bytes
from panderm.imaging.shards import ShardWriter
from panderm.models import task_model
from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, load_encoder, save_encoder
from panderm.models.heads import FineTunedNetwork, LinearHead
from panderm.serving import bundle as bundles
from panderm.serving.runner import BundleRunner
from panderm.training import finetune_worker

SPEC = Preprocessing(size=32, resize=36)
ARCHITECTURE = EncoderConfig(image_size=32, patch_size=16, width=16, depth=1, heads=2)
CONFIG = export.Config(real_images=4, random_images=2, batch_sizes=(1, 3))


@dataclass(frozen=True)
class Workplace:
    """Everything export reads for a task, made by hand: six test images in a shard, a model, its report and verdict."""

    task: Benchmark
    root: Path
    work: Path

    def folder(self, name: str) -> Path:
        if name == "work":
            return self.work
        return self.root / name if name in ("data", "encoder") else self.root / self.task.key / name

    def export(self, config: export.Config = CONFIG) -> Record:
        names = ("split", "data", "model", "encoder", "evaluation", "verdict", "work", "bundle")
        return export.run(config, self.task, *(self.folder(name) for name in names))

    @property
    def bundle(self) -> Path:
        return self.folder("bundle")


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def lay_split(place: Workplace) -> list[bytes]:
    files = [jpeg(index) for index in range(6)]
    shard = place.folder("data") / "benchmarks" / place.task.key / "shards" / "000000.tar"
    shard.parent.mkdir(parents=True)
    writer = ShardWriter(shard)
    positions = [writer.add(f"i{index}", "jpg", data, {}) for index, data in enumerate(files)]
    writer.close()
    classes = len(place.task.classes)
    rows = pd.DataFrame(
        {
            "image_id": [f"i{index}" for index in range(6)],
            "split": "test",
            "label": [place.task.classes[index % classes] for index in range(6)],
            "target": [index % classes for index in range(6)],
            "group": [f"g{index}" for index in range(6)],
            "shard": str(shard.relative_to(place.folder("data"))),
            "offset": [position.offset for position in positions],
            "nbytes": [position.nbytes for position in positions],
            "stored_sha256": "0" * 64,
        }
    )
    place.folder("split").mkdir(parents=True)
    write_table(place.folder("split") / "split.parquet", rows, SPLIT)
    return files


def lay_model(place: Workplace, whole: bool) -> task_model.TaskModel:
    encoder_folder, folder = place.folder("encoder"), place.folder("model")
    if not encoder_folder.exists():
        encoder_folder.mkdir()
        save_encoder(
            encoder_folder, build_untrained_encoder(ARCHITECTURE, 0), EncoderCard(architecture=ARCHITECTURE, preprocessing=SPEC)
        )
    encoder, card = load_encoder(encoder_folder)
    torch.manual_seed(1)
    classes = len(place.task.classes)
    module: torch.nn.Module = LinearHead(ARCHITECTURE.width, classes)
    if whole:
        module = FineTunedNetwork(ARCHITECTURE, classes, relative_position_bias=True)
        module.start_from(encoder)
        torch.nn.init.normal_(module.head.weight)
    protocol: task_model.Protocol = "fine_tuning" if whole else "linear_probe"
    folder.mkdir(parents=True)
    weights = task_model.WEIGHTS[protocol]
    task_model.save_card(
        folder,
        task_model.ModelCard(
            task=place.task.key,
            protocol=protocol,
            classes=place.task.classes,
            preprocessing=SPEC,
            architecture=ARCHITECTURE,
            relative_position_bias=whole,
            encoder_sha256=card.sha256,
            weights=weights,
            weights_sha256=task_model.save_weights(folder / weights, module),
            split_sha256=sha256_file(place.folder("split") / "split.parquet"),
            config={},
        ),
    )
    Record(stage="finetune", key=place.task.key, hashes={"encoder": card.sha256}).save(folder)
    return task_model.load_task_model(folder, encoder_folder)


def lay_report(place: Workplace, probabilities: np.ndarray) -> None:
    folder = place.folder("evaluation")
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(probabilities, columns=[f"p_{index}" for index in range(probabilities.shape[1])])
    table.insert(0, "image_id", [f"i{index}" for index in range(len(table))])
    table.to_parquet(folder / "predictions.parquet")
    write_json(
        folder / "report.json",
        {
            **bound(place),
            "predictions_sha256": sha256_file(folder / "predictions.parquet"),
            "metric": "weighted_f1",
            "value": 0.7,
            "low": 0.6,
            "high": 0.8,
            "n": 6,
            "groups": 6,
        },
    )


def bound(place: Workplace) -> dict[str, str]:
    return {
        "task": place.task.key,
        "model_sha256": sha256_file(place.folder("model") / "model.json"),
        "split_sha256": sha256_file(place.folder("split") / "split.parquet"),
        "preprocessing_sha256": task_model.load_model_card(place.folder("model")).preprocessing_sha256,
    }


def lay_verdict(place: Workplace, outcome: str = "pass") -> None:
    judged = Criterion(name="floor", outcome=Outcome(outcome), seen="0.6", needed="0.5", reason="the floor was looked at")
    verdict = Verdict(
        outcome=judged.outcome,
        criteria=(judged,),
        reasons=(judged.reason,),
        report_sha256=sha256_file(place.folder("evaluation") / "report.json"),
        **bound(place),
    )
    place.folder("verdict").mkdir(exist_ok=True)
    verdict.save(place.folder("verdict"))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One work folder for all tests, so that the shared encoder is exported once, as in a workspace."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def make_place(tmp_path: Path, work: Path) -> Callable[..., Workplace]:
    def make(task: str = "ham10000", whole: bool = False) -> Workplace:
        place = Workplace(benchmark(task), tmp_path, work)
        files = lay_split(place)
        model = lay_model(place, whole)
        lay_report(place, model.probabilities(np.stack([prepare_bytes(data, SPEC) for data in files])))
        lay_verdict(place)
        return place

    return make


MakePlace = Callable[..., Workplace]


@pytest.mark.parametrize(("whole", "input_type"), [(False, "uint8"), (True, "float32")])
def test_export__answers_as_the_torch_model(make_place: MakePlace, whole: bool, input_type: bundles.InputType) -> None:
    place = make_place(whole=whole)
    record = place.export(CONFIG.model_copy(update={"input_type": input_type}))
    bundle = bundles.check_bundle(place.bundle, place.task.key)
    assert bundle.graphs == (("network.onnx",) if whole else ("encoder.onnx", "head.onnx"))
    assert bundle.parity.max_abs_probability < 1e-5
    assert bundle.parity.max_abs_judged < 1e-5
    assert (bundle.parity.max_abs_feature is None) == whole
    assert bundle.parity.label_agreement == 1.0
    assert record.values["max_abs_probability"] == bundle.parity.max_abs_probability
    model = task_model.load_task_model(place.folder("model"), place.folder("encoder"))
    pixels = np.stack([prepare_bytes(jpeg(seed), SPEC) for seed in range(20, 25)])
    np.testing.assert_allclose(BundleRunner(place.bundle).probabilities(pixels), model.probabilities(pixels), atol=1e-5)
    np.testing.assert_allclose(BundleRunner(place.bundle).predict(jpeg(20)), model.probabilities(pixels)[0], atol=1e-5)


def test_export__same_weights_give_the_same_bytes_and_no_path(make_place: MakePlace, tmp_path: Path) -> None:
    place = make_place()
    place.export()
    first = {path.name: path.read_bytes() for path in place.bundle.iterdir()}
    anew = Workplace(place.task, place.root, tmp_path / "fresh")  # its encoder is exported once more
    anew.export()
    assert {path.name: path.read_bytes() for path in place.bundle.iterdir()} == first
    for name, data in first.items():
        assert str(Path(__file__).parents[1]).encode() not in data, name
        assert b"site-packages" not in data, name


def test_export__tasks_share_the_encoder(make_place: MakePlace, tmp_path: Path) -> None:
    for place in (make_place("ham10000"), make_place("pad_ufes")):
        place.export()
        release.run(release.Config(), place.task, place.bundle, tmp_path / "triton_repo")
    assert len(list((tmp_path / "triton_repo").glob("encoder_*"))) == 1
    assert len(list((tmp_path / "triton_repo").glob("*_head_*"))) == 2


def test_export__bundle_says_what_it_is_and_keeps_the_way_back(make_place: MakePlace) -> None:
    place = make_place()
    place.export()
    head = {p.key: p.value for p in onnx.load(str(place.bundle / "head.onnx")).metadata_props}
    assert head["task"] == "ham10000"
    assert head["classes"].split("\n") == list(place.task.classes)
    encoder = onnx.load(str(place.bundle / "encoder.onnx"))
    assert {p.key for p in encoder.metadata_props} == {"encoder_sha256", "preprocessing_sha256"}
    assert encoder.opset_import[0].version == 20
    assert encoder.graph.input[0].type.tensor_type.shape.dim[0].dim_param, "the batch is not dynamic"
    bundle = bundles.load_bundle(place.bundle)
    assert bundle.provenance["finetune"] == {"encoder": bundle.encoder_sha256}
    assert bundle.metric["low"] == 0.6
    assert bundle.verdict_sha256 == sha256_file(place.folder("verdict") / "verdict.json")

    with pytest.raises(Refused, match=r"differ from torch by \S+ in a probability, and 1e-12 is allowed"):
        place.export(CONFIG.model_copy(update={"tolerance": 1e-12}))
    assert bundles.load_bundle(place.bundle) == bundle, "refused parity must leave the former bundle"


@pytest.mark.slow
def test_export__tbp_risk_goes_from_fitting_to_release_and_back_as_champion(
    make_task_world: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The risk head is a classifier of another kind's module: every stage takes it as it takes a diagnosis."""
    world = make_task_world("tbp_risk", images=300)
    monkeypatch.setattr("panderm.tasks.fine_tuning.launch", lambda *given: finetune_worker.run(given[1]))
    model, evaluation, verdict, bundle = (world.root / name for name in ("model", "evaluation", "verdict", "bundle"))
    tuned = {"epochs": 3, "warmup_epochs": 0, "batch": 12, "learning_rate": 3e-3}
    finetune.run(
        finetune.Config.parse({"fine_tuning": tuned}),
        *(world.task, world.split, world.data, world.encoder, world.features, model),
        on_line=[].append,
    )
    repository = world.root / "triton_repo"
    given = (world.task, world.split, world.data, world.encoder, model, world.features)
    evaluate.run(evaluate.Config(replicates=100), *given, None, evaluation)
    assert gate.run(gate.Config(), world.task, evaluation, model, verdict).values["outcome"] == "pass"
    folders = (world.split, world.data, model, world.encoder, evaluation, verdict, world.features, bundle)
    export.run(CONFIG, world.task, *folders)
    assert release.run(release.Config(), world.task, bundle, repository).values["serving"] == 1
    assert bundles.load_bundle(bundle).graphs == ("network.onnx",)
    champion = release.champion(world.task, repository)
    evaluate.run(evaluate.Config(replicates=100), *given, champion, evaluation)
    ours, served = (pd.read_parquet(evaluation / f"{name}predictions.parquet") for name in ("", "champion_"))
    np.testing.assert_allclose(ours[["p_0", "p_1"]], served[["p_0", "p_1"]], atol=1e-4)
    assert gate.run(gate.Config(), world.task, evaluation, model, verdict).values["outcome"] == "pass"


def test_export__screening_is_judged_but_not_served(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="tbp_screening is judged but not served; its verdict is its end"):
        export.run(CONFIG, benchmark("tbp_screening"), *[tmp_path] * 7, tmp_path / "bundle")


@pytest.mark.parametrize("outcome", ["fail", "insufficient_evidence"])
def test_export__without_a_pass_is_refused(outcome: str, make_place: MakePlace) -> None:
    place = make_place()
    lay_verdict(place, outcome)
    with pytest.raises(Refused, match=f"the verdict of ham10000 is {outcome}, and only a pass is exported"):
        place.export()
    assert not place.bundle.exists()


def test_export__without_a_verdict_says_what_is_missing(make_place: MakePlace) -> None:
    place = make_place()
    (place.folder("verdict") / "verdict.json").unlink()
    with pytest.raises(InputError, match=r"verdict.json is missing; run the stage"):
        place.export()


def retrain(place: Workplace) -> None:
    card = read_json(place.folder("model") / "model.json")
    write_json(place.folder("model") / "model.json", card | {"config": {"epochs": 99}})


def resplit(place: Workplace) -> None:
    path = place.folder("split") / "split.parquet"
    write_table(path, pd.read_parquet(path).assign(group="one"), SPLIT)


def reprocess(place: Workplace) -> None:
    card = read_json(place.folder("model") / "model.json")
    card["preprocessing"]["interpolation"] = "bicubic"
    write_json(place.folder("model") / "model.json", card)


def rejudge(place: Workplace) -> None:
    path = place.folder("evaluation") / "report.json"
    write_json(path, read_json(path) | {"low": 0.99})


@pytest.mark.parametrize(
    ("change", "named"), [(retrain, "model"), (resplit, "split"), (reprocess, "model|preprocessing"), (rejudge, "report")]
)
def test_export__verdict_on_something_else_is_refused(
    change: Callable[[Workplace], None], named: str, make_place: MakePlace
) -> None:
    place = make_place()
    change(place)
    with pytest.raises(Refused, match=f"the verdict of ham10000 was made for another ({named}) than"):
        place.export()
    assert not place.bundle.exists()


def test_export__exchanged_predictions_are_refused(make_place: MakePlace) -> None:
    place = make_place()
    path = place.folder("evaluation") / "predictions.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(Refused, match="the report of ham10000 was made for another predictions"):
        place.export()


def test_export__model_that_evaluation_did_not_judge_is_refused(make_place: MakePlace) -> None:
    place = make_place()
    classes = len(place.task.classes)
    lay_report(place, np.full((6, classes), 1 / classes))
    lay_verdict(place)
    with pytest.raises(Refused, match=r"differ from what evaluation judged by .* 1e-02 is allowed"):
        place.export()


def test_export__model_that_was_judged_by_several_views_is_refused(make_place: MakePlace) -> None:
    place = make_place(whole=True)
    path = place.folder("evaluation") / "report.json"
    write_json(path, read_json(path) | {"views": 5})
    lay_verdict(place)
    with pytest.raises(Refused, match=r"ham10000 was judged by 5 views of each image, and what is served looks at one; set"):
        place.export()
    assert not place.bundle.exists()


def test_export__other_encoder_is_refused(make_place: MakePlace, tmp_path: Path) -> None:
    place = make_place()
    other = tmp_path / "other"
    other.mkdir()
    save_encoder(other, build_untrained_encoder(ARCHITECTURE, 5), EncoderCard(architecture=ARCHITECTURE, preprocessing=SPEC))
    for path in other.iterdir():
        os.replace(path, place.folder("encoder") / path.name)
    with pytest.raises(InputError, match="stands on encoder"):
        place.export()


def test_config__unknown_opset_is_refused() -> None:
    with pytest.raises(ConfigError, match="opset"):
        export.Config.parse({"opset": 7}, "export settings")


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from panderm import export
from panderm.catalog import benchmark
from panderm.core.files import sha256_file
import onnxruntime, onnxscript, pandas, panderm.models.task_model, panderm.serving.graphs  # once, before the forks
left, paths = 0, [Path(name) for name in json.loads(sys.argv[1])]
def dying(call):
    def wrapped(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*args, **kwargs)
    return wrapped
for kills in json.loads(sys.argv[2]):
    child = os.fork()
    if child == 0:
        left, os.rename, os.replace = kills, dying(os.rename), dying(os.replace)
        export.run(export.Config(real_images=1, random_images=1, batch_sizes=(1,)), benchmark("ham10000"), *paths)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = paths[-1] / "bundle.json"
    print(json.dumps({"ended": ended, "bundle": sha256_file(seen) if seen.exists() else None}), flush=True)
"""


@pytest.mark.slow
def test_export__killed_leaves_a_whole_bundle_or_none_and_the_next_run_completes(make_place: MakePlace) -> None:
    place = make_place()
    place.export(CONFIG.model_copy(update={"seed": 9}))
    former = sha256_file(place.bundle / "bundle.json")
    names = ("split", "data", "model", "encoder", "evaluation", "verdict", "work", "bundle")
    paths = json.dumps([str(place.folder(name)) for name in names])
    # The renames of one run: head, labels, preprocessing, bundle, model card, record, then the two that exchange the folders.
    command = [sys.executable, "-c", _KILLED, paths, json.dumps([3, 7])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    early, late = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert early == {"ended": -signal.SIGKILL, "bundle": former}
    assert late == {"ended": -signal.SIGKILL, "bundle": None}, "between the two renames there is no bundle, never half of one"
    release.run(release.Config(), place.task, place.bundle, place.root / "triton_repo")
    assert sha256_file(place.bundle / "bundle.json") == former, "the next reader heals it"
    place.export()
    assert bundles.check_bundle(place.bundle, "ham10000").parity.real_images == 4
    assert [path.name for path in place.bundle.parent.iterdir() if ".aside-" in path.name] == []
