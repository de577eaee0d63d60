"""Isolation of every test: its own workspace, its own DAGSTER_HOME, no network, no telemetry."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Before torch and NumPy are imported: test processes share the cores, and threads of several that wait for one another by
# spinning made a test of 3 seconds take 300.
os.environ["OMP_NUM_THREADS"] = "1"

_LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every home at the test's own folder and refuse connections that leave the machine."""
    # A suite started in the background by a script ignores SIGINT from birth; Dagster then makes SIGTERM deaf as well, and
    # every child inherits both.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    home = tmp_path / ".dagster_home"
    home.mkdir()
    for name, value in {
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DVC_NO_ANALYTICS": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PANDERM_WORKSPACE", "PANDERM_AUTOMATION", "PANDERM_NOTIFY_URL", "DAGSTER_PG_URL"):
        monkeypatch.delenv(name, raising=False)
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            pytest.fail(f"the test tried to connect to {address[0]}; tests run without network")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of bundles in the layout of docs/architecture.md: real ONNX graphs, some hundred bytes each."""

    def make(
        task: str = "ham10000",
        *,
        seed: int = 0,
        outcome: str = "pass",
        whole: bool = False,
        mask: bool = False,
        against: Path | None = None,
        folder: Path | None = None,
    ) -> Path:
        """Make one; ``against`` is a model repository whose serving version the verdict was held against."""
        from panderm.catalog import benchmark
        from panderm.evaluation.verdict import Champion
        from panderm.serving import repository

        champion = None
        if against is not None and (version := repository.serving_version(task, against)) is not None:
            model = repository.release_facts(task, against, version)["model_sha256"]
            champion = Champion(version=version, model_sha256=model)
        folder = folder or tmp_path / f"bundle-{len(list(tmp_path.glob('bundle-*')))}"
        folder.mkdir(parents=True)
        classes = benchmark(task).classes
        return write_bundle(folder, task, classes, seed=seed, outcome=outcome, whole=whole, mask=mask, champion=champion)

    return make


def write_bundle(
    folder: Path, task: str, classes: tuple[str, ...], *, seed: int, outcome: str, whole: bool, mask: bool, champion: Any
) -> Path:
    from panderm.core.files import sha256_bytes, sha256_file, write_json
    from panderm.evaluation.verdict import Criterion, Outcome, Verdict
    from panderm.imaging.masks import squeezed
    from panderm.imaging.preprocessing import Preprocessing
    from panderm.serving.bundle import Bundle, Parity, hash_files

    spec = squeezed(Preprocessing(size=32)) if mask else Preprocessing(size=32, resize=36)
    (folder / "preprocessing.json").write_text(spec.to_json())
    (folder / "labels.txt").write_text("\n".join(classes) + "\n")
    graphs = {"network.onnx": tiny_mask_graph(spec.size, seed)} if mask else tiny_graphs(spec.size, len(classes), seed, whole)
    for name, graph in graphs.items():
        (folder / name).write_bytes(graph)
    model, split, encoder = (sha256_bytes(f"{what} {seed}".encode()) for what in ("model", "split", "encoder"))
    bound = {"model_sha256": model, "split_sha256": split, "preprocessing_sha256": sha256_bytes(spec.to_json().encode())}
    metric = {"metric": "weighted_f1", "value": 0.7, "low": 0.6, "high": 0.8}
    write_json(folder / "report.json", {"task": task, **bound, **metric})
    report = sha256_file(folder / "report.json")
    judged = Criterion(name="floor", outcome=Outcome(outcome), seen="0.6", needed="0.5", reason="the floor was looked at")
    Verdict(
        task=task,
        outcome=judged.outcome,
        criteria=(judged,),
        reasons=(judged.reason,),
        report_sha256=report,
        champion=champion,
        **bound,
    ).save(folder)
    parity = Parity(
        real_images=1,
        random_images=1,
        batch_sizes=(1,),
        max_abs_feature=0.0,
        max_abs_probability=0.0,
        max_abs_judged=0.0,
        label_agreement=1.0,
        tolerance=1e-4,
    )
    Bundle(
        task=task,
        protocol="upernet" if mask else "fine_tuning" if whole else "linear_probe",
        graph="network" if whole or mask else "encoder_and_head",
        classes=classes,
        input_type="float32" if whole else "uint8",
        size=spec.size,
        feature_width=None if whole or mask else 4,
        opset=18,
        encoder_sha256=encoder,
        report_sha256=report,
        verdict_sha256=sha256_file(folder / "verdict.json"),
        metric=metric,
        parity=parity,
        provenance={},
        files=hash_files(folder),
        answers="mask" if mask else "probabilities",
        **bound,
    ).save(folder)
    return folder


def tiny_mask_graph(size: int, seed: int) -> bytes:
    """Mean over the colours of each pixel -> sigmoid of how much brighter than a grey that hangs on the seed; (N, S, S)."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    constants = {"axes": np.array([1], dtype=np.int64), "grey": np.float32(100 + seed), "deviation": np.float32(20.0)}
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "grey"], ["above"]),
        helper.make_node("Div", ["above", "deviation"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["mask"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 3, size, size])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["N", size, size])
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], [mask], kept)
    model: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    return model


def tiny_graphs(size: int, classes: int, seed: int, whole: bool) -> dict[str, bytes]:
    """Mean colour -> 4 features -> softmax; the encoder is the same for every seed, as a shared one is."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    first, last = np.random.default_rng(0), np.random.default_rng(seed)
    weights = {
        "mean": np.float32(120.0),
        "deviation": np.float32(20.0),
        "axes": np.array([2, 3], dtype=np.int64),
        "project": first.normal(size=(3, 4)).astype(np.float32),
        "weight": last.normal(size=(4, classes)).astype(np.float32),
        "bias": last.normal(size=classes).astype(np.float32),
    }
    encode = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["values", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "project"], ["feature"]),
    ]
    answer = [
        helper.make_node("MatMul", ["feature", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT if whole else TensorProto.UINT8, ["N", 3, size, size])
    feature = helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["N", 4])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes])

    def graph(nodes: list[Any], inputs: Any, outputs: Any) -> bytes:
        used = {name for node in nodes for name in node.input} & set(weights)
        constants = [numpy_helper.from_array(np.asarray(weights[name]), name) for name in sorted(used)]
        made = helper.make_graph(nodes, "tiny", [inputs], [outputs], constants)
        model: bytes = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
        return model

    if whole:
        return {"network.onnx": graph([*encode, *answer], image, out)}
    return {"encoder.onnx": graph(encode, image, feature), "head.onnx": graph(answer, feature, out)}


@pytest.fixture
def make_task_world(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Return a maker of what a task starts from: published shards, a split, a tiny encoder; all below ``tmp_path``."""

    def make(
        task: str = "isic2024", *, images: int = 60, size: int = 32, depth: int = 1, signal: float = 60.0, seed: int = 0
    ) -> SimpleNamespace:
        from panderm.catalog import benchmark
        from panderm.imaging.preprocessing import Preprocessing
        from panderm.models.encoder import EncoderCard, EncoderConfig, build_untrained_encoder, save_encoder

        row = benchmark(task)
        spec = Preprocessing(size=size, resize=size + 4)
        architecture = EncoderConfig(image_size=size, patch_size=8, width=32, depth=depth, heads=2)
        encoder = tmp_path / "artifacts" / "pretrain"
        card = EncoderCard(architecture=architecture, preprocessing=spec)
        save_encoder(encoder, build_untrained_encoder(architecture, seed), card)
        data, split = tmp_path / "data", tmp_path / "artifacts" / "splits" / task
        frame = write_task(data, split, task, row.classes, images=images, signal=signal, seed=seed)
        work = tmp_path / ".work" / "features"
        return SimpleNamespace(
            root=tmp_path, task=row, data=data, split=split, encoder=encoder, features=work, frame=frame, spec=spec
        )

    return make


def write_task(data: Path, split: Path, task: str, classes: tuple[str, ...], *, images: int, signal: float, seed: int) -> Any:
    """Publish noisy pictures whose colour tells the class, three a patient, and deal the patients into splits."""
    import io

    import numpy as np
    import pandas as pd
    from PIL import Image

    from panderm.core.files import sha256_bytes, writing
    from panderm.core.tables import SPLIT, write_table
    from panderm.imaging.shards import ShardWriter

    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(7).normal(size=(len(classes), 3)) * signal
    shard = f"benchmarks/{task}/shards/000000.tar"
    rows = []
    with writing(data / shard) as aside:
        writer = ShardWriter(aside)
        for index in range(images):
            patient = index // 3
            target = patient % len(classes)
            colour = 128 + colours[target] + rng.normal(size=3) * 25
            pixels = (colour + rng.normal(size=(40, 44, 3)) * 12).clip(0, 255).astype(np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            place = writer.add(f"img{index:04d}", "png", stream.getvalue(), {})
            rows.append(
                {
                    "image_id": f"img{index:04d}",
                    "split": ("train", "train", "train", "val", "test")[patient // len(classes) % 5],
                    "label": classes[target],
                    "target": target,
                    "group": f"patient{patient:03d}",
                    "age": float(20 + patient * 7 % 60) if patient % 7 else None,
                    "sex": ("female", "male", None)[patient % 3],
                    "site": ("back", "face")[patient % 2],
                    "shard": shard,
                    "offset": place.offset,
                    "nbytes": place.nbytes,
                    "stored_sha256": sha256_bytes(stream.getvalue()),
                }
            )
        writer.close()
    frame = pd.DataFrame(rows)
    write_table(split / "split.parquet", frame, SPLIT)
    return frame


@pytest.fixture
def lay_masks() -> Callable[..., Path]:
    """Return a maker of segmentation models: untrained networks of two seeds that mark something, of which one is served."""

    def lay(task: Any, rows: Any, data: Path, encoder: Path, folder: Path, served: int = 1) -> Path:
        import torch

        from panderm.core.files import sha256_file
        from panderm.imaging.masks import squeezed
        from panderm.models.encoder import load_card
        from panderm.models.task_model import save_weights
        from panderm.models.upernet import UperNet
        from panderm.tasks.cards import write_card
        from panderm.tasks.kinds import Fitted
        from panderm.training.segmentation import weights_name
        from panderm.training.segmentation_recipe import SegmentationRecipe

        card = load_card(encoder)
        folder.mkdir(parents=True)
        for seed in range(2):
            torch.manual_seed(seed)
            network = UperNet(card.architecture, 2, channels=16)
            torch.nn.init.normal_(network.classify.weight)
            for part in network.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.momentum = 1.0
            side = card.preprocessing.size
            network.train()(torch.randn(8, 3, side, side))  # batch norms take the statistics of this noise
            save_weights(folder / weights_name(seed), network)
        other = weights_name(1 - served)
        told = {"segmentation": SegmentationRecipe(seeds=2).model_dump(mode="json"), "served_seed": served}
        told |= {"weights_of_seeds": {other: sha256_file(folder / other)}, "validation_jaccard": [0.5, 0.5 + 0.1 * served]}
        spec = squeezed(card.preprocessing)
        write_card(task, rows, card, Fitted(weights_name(served), "upernet", told, {}, preprocessing=spec), folder, data)
        return folder

    return lay
