"""Export: a task model with a passing verdict becomes ONNX graphs with measured parity, in one bundle.

The verdict must have been given for exactly the model, split, preprocessing and report that lie there now; their hashes
are computed anew. The encoder's graph is the same for every task that stands on it, byte for byte.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from panderm.catalog import Benchmark
from panderm.core.config import FrozenConfig
from panderm.core.errors import InputError, Refused
from panderm.core.files import building_folder, read_json, sha256_file, sha256_json, write_text
from panderm.core.layout import written_by
from panderm.core.record import RECORD_NAME, Record
from panderm.evaluation.verdict import VERDICT_NAME, Verdict, load_verdict
from panderm.serving import bundle as bundles
from panderm.serving.bundle import Bundle, Graph, InputType, Parity

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from panderm.models.mask_model import MaskModel
    from panderm.models.task_model import ModelCard, TaskModel
    from panderm.serving.mask_parity import MaskImages
    from panderm.serving.parity import Images

MODEL, SPLIT_TABLE = "model.json", "split.parquet"


class Config(FrozenConfig):
    """Settings of the export.

    Attributes:
        input_type: what the graphs take: ``uint8``, or ``float32`` with the same values 0..255.
        opset: ONNX opset; 20 loads in Triton 24.04 and newer, 18 in older ones.
        tolerance: largest difference of a probability between torch and ONNX Runtime. Measured on ViT-S: 2e-6; a
            hundredfold is left for wider networks and other processors.
        judged_tolerance: largest difference to the probabilities that evaluation wrote. In the same precision it is
            that of ``tolerance``; half precision on a GPU costs up to some 1e-3, another head or resize far more. Of masks it
            is the largest difference of a Jaccard index: one pixel of a lesion of a hundred.
        real_images: test images to measure on, spread evenly over the test split.
        random_images: images of noise to measure on.
        batch_sizes: batch sizes to measure at: alone, odd, and a usual one.
        seed: of the noise.
    """

    input_type: InputType = "uint8"
    opset: Literal[18, 20] = 20
    tolerance: float = Field(1e-4, gt=0)
    judged_tolerance: float = Field(1e-2, gt=0)
    real_images: int = Field(8, ge=1)
    random_images: int = Field(4, ge=1)
    batch_sizes: tuple[int, ...] = Field((1, 3, 8), min_length=1)
    seed: int = 0


def run(
    config: Config,
    task: Benchmark,
    split: Path,
    data: Path,
    model: Path,
    encoder: Path,
    evaluation: Path,
    verdict: Path,
    work: Path,
    out: Path,
) -> Record:
    """Export a task's model.

    Args:
        config: the settings.
        task: the benchmark.
        split: curate's output for the task; its test images are what parity is measured on.
        data: the published data that the split's shards lie in.
        model: finetune's output.
        encoder: pretrain's output; a linear probe stands on it.
        evaluation: evaluate's output.
        verdict: gate's output.
        work: folder for the shared encoder's graph, kept between tasks.
        out: the bundle; replaced whole, or left as it was.

    Returns:
        The record: parity, and the hashes of what went in.

    Raises:
        InputError: an input is missing or damaged.
        Refused: no passing verdict for exactly these files, or parity out of tolerance.
    """
    from panderm.serving import model_card
    from panderm.serving.card_facts import gather_facts
    from panderm.tasks.kinds import exported

    if not exported(task):
        raise Refused(f"{task.key} is judged but not served; its verdict is its end")
    passed = _require_pass(task, split, model, evaluation, verdict)
    loaded = _load(model, encoder)
    with building_folder(out) as aside:
        graph = _write_graphs(config, loaded, work, aside)
        parity = _measure(config, loaded, split, data, evaluation, graph, aside)
        _copy_evidence(loaded.card, evaluation, verdict, aside)
        bundle = _card(config, loaded, graph, parity, passed, aside)
        bundle = bundle.model_copy(update={"provenance": _provenance(split, encoder, model, evaluation)})
        told = model_card.as_markdown(gather_facts(task, bundle, passed, split, data, model, encoder, evaluation))
        write_text(aside / bundles.MODEL_CARD, told)
        bundle = bundle.model_copy(update={"files": bundles.hash_files(aside)})
        bundle.save(aside)
        record = _record(config, bundle, sha256_file(aside / bundles.BUNDLE_NAME))
        record.save(aside)
    return record


def _require_pass(task: Benchmark, split: Path, model: Path, evaluation: Path, verdict: Path) -> Verdict:
    """Return the verdict if it is a pass for exactly what lies there now.

    Raises:
        Refused: it is no pass, or was given for something else than what would be served.
    """
    from panderm.models.task_model import load_model_card

    given = load_verdict(verdict)
    if not given.passed:
        raise Refused(f"the verdict of {task.key} is {given.outcome}, and only a pass is exported: {' '.join(given.reasons)}")
    for path in (split / SPLIT_TABLE, evaluation / bundles.REPORT, evaluation / bundles.PREDICTIONS):
        if not path.is_file():
            raise InputError(f"{path} is missing; run {written_by(path)} first")
    card = load_model_card(model)
    report = read_json(evaluation / bundles.REPORT)
    now = {
        "task": task.key,
        "model_sha256": sha256_file(model / MODEL),
        "split_sha256": sha256_file(split / SPLIT_TABLE),
        "preprocessing_sha256": card.preprocessing_sha256,
    }
    _require_same(task.key, "verdict", given.model_dump(), now | {"report_sha256": sha256_file(evaluation / bundles.REPORT)})
    _require_same(task.key, "report", report, now | {"predictions_sha256": sha256_file(evaluation / bundles.PREDICTIONS)})
    _require_same(task.key, "model", card.model_dump(), {"task": task.key, "split_sha256": now["split_sha256"]})
    if (views := report.get("views", 1)) != 1:
        raise Refused(
            f"{task.key} was judged by {views} views of each image, and what is served looks at one; set evaluate.views to 1 "
            f"and run `panderm evaluate {task.key}` and `panderm gate {task.key}` again"
        )
    return given


def _require_same(task: str, what: str, bound: dict[str, Any], now: dict[str, str]) -> None:
    for name, digest in now.items():
        if bound.get(name) != digest:
            raise Refused(
                f"the {what} of {task} was made for another {name.removesuffix('_sha256')} than the one that lies there now; "
                f"run `panderm evaluate {task}` and `panderm gate {task}` again"
            )


def _load(model: Path, encoder: Path) -> TaskModel | MaskModel:
    """Return what is exported: a classifier, or the network of a segmentation that is served.

    Raises:
        Refused: a segmentation of a version whose card does not say how its images are squeezed.
    """
    from panderm.imaging.masks import squeezed
    from panderm.models.mask_model import load_mask_model
    from panderm.models.task_model import load_model_card, load_task_model

    card = load_model_card(model)
    if card.protocol != "upernet":
        return load_task_model(model, encoder)
    if card.preprocessing != squeezed(card.preprocessing):
        raise Refused(
            f"{model} is of a version that served no masks: its card says that images are cropped, but it learnt from squeezed "
            f"ones; run `panderm finetune {card.task}` again"
        )
    return load_mask_model(model)


def _write_graphs(config: Config, model: TaskModel | MaskModel, work: Path, folder: Path) -> Graph:
    from panderm.models.mask_model import MaskModel
    from panderm.serving import graphs

    spec, card = model.card.preprocessing, model.card
    image = graphs.example_image(spec.size, config.input_type)
    facts = {"encoder_sha256": card.encoder_sha256, "preprocessing_sha256": card.preprocessing_sha256}
    own = facts | {"task": card.task, "classes": "\n".join(card.classes), "weights_sha256": card.weights_sha256}
    whole: nn.Module | None = None
    if isinstance(model, MaskModel):
        whole = graphs.MaskGraph(model.network, spec)
    elif model.network is not None:
        whole = graphs.NetworkGraph(model.network, spec)
    if whole is not None:
        graphs.export_graph(whole, image, folder / bundles.NETWORK, config.opset, own)
        return "network"
    assert not isinstance(model, MaskModel)
    assert model.encoder is not None
    assert model.head is not None
    _shared_encoder(config, model.encoder, model.card, work, folder / bundles.ENCODER, facts)
    feature = model.head.weight.new_zeros(2, model.head.in_features)
    graphs.export_graph(graphs.HeadGraph(model.head), feature, folder / bundles.HEAD, config.opset, own)
    return "encoder_and_head"


def _shared_encoder(
    config: Config, encoder: nn.Module, card: ModelCard, work: Path, target: Path, facts: dict[str, str]
) -> None:
    """Copy the encoder's graph, exported once for an encoder, preprocessing, opset, input type and torch version."""
    import torch

    from panderm.serving import graphs

    key = {**facts, "opset": config.opset, "input_type": config.input_type, "torch": torch.__version__}
    kept = work / "onnx" / f"encoder_{sha256_json(key)[:16]}.onnx"
    if not kept.is_file():
        image = graphs.example_image(card.preprocessing.size, config.input_type)
        graphs.export_graph(graphs.EncoderGraph(encoder, card.preprocessing), image, kept, config.opset, facts)
    shutil.copyfile(kept, target)


def _measure(
    config: Config, model: TaskModel | MaskModel, split: Path, data: Path, evaluation: Path, graph: Graph, folder: Path
) -> Parity:
    import pandas as pd

    from panderm.models.mask_model import MaskModel
    from panderm.serving import mask_parity, parity
    from panderm.serving.runner import Graphs

    rows, predictions = _spread(config, split), pd.read_parquet(evaluation / bundles.PREDICTIONS)
    graphs = Graphs(tuple(folder / name for name in bundles.GRAPHS[graph]))
    if isinstance(model, MaskModel):
        pairs = _pairs(config, rows, data, predictions, model.card)
        found, unit = mask_parity.measure(model, graphs, pairs, config.batch_sizes, config.tolerance), "Jaccard index"
    else:
        images = _images(config, rows, data, predictions, model.card)
        found, unit = parity.measure(model, graphs, images, config.batch_sizes, config.tolerance), "probability"
    for name, seen, of, allowed in (
        ("from torch", found.max_abs_probability, "probability", config.tolerance),
        ("from what evaluation judged", found.max_abs_judged, unit, config.judged_tolerance),
    ):
        if seen > allowed:
            raise Refused(
                f"the graphs of {model.card.task} differ {name} by {seen:.2e} in a {of}, and {allowed:.0e} is allowed; "
                f"run `panderm evaluate {model.card.task}` again, or try export.opset=18"
            )
    return found


def _spread(config: Config, split: Path) -> pd.DataFrame:
    """Return the rows of the test images to measure on, evenly spread over the split."""
    import numpy as np

    from panderm.core.tables import SPLIT, read_table

    table = read_table(split / SPLIT_TABLE, SPLIT)
    test = table[table["split"] == "test"].reset_index(drop=True)
    if test.empty:
        raise InputError(f"{split / SPLIT_TABLE} has no test image; run `panderm curate` again")
    return test.iloc[np.unique(np.linspace(0, len(test) - 1, config.real_images).round().astype(int))]


def _images(config: Config, rows: pd.DataFrame, data: Path, predictions: pd.DataFrame, card: ModelCard) -> Images:
    """Prepare test images from their stored bytes, and noise."""
    import numpy as np

    from panderm.imaging.preprocessing import prepare_bytes
    from panderm.imaging.shards import read_image_bytes
    from panderm.serving import parity

    places = rows[["shard", "offset", "nbytes"]].to_dict("records")
    files = [read_image_bytes(data, place["shard"], int(place["offset"]), int(place["nbytes"])) for place in places]
    real = [prepare_bytes(file, card.preprocessing) for file in files]
    noise = parity.noise(config.random_images, card.preprocessing.size, config.seed)
    judged = parity.judged_probabilities(predictions, list(rows["image_id"]), len(card.classes))
    return parity.Images(np.concatenate([np.stack(real), noise]), judged)


def _pairs(config: Config, rows: pd.DataFrame, data: Path, predictions: pd.DataFrame, card: ModelCard) -> MaskImages:
    """Prepare test images with their masks from their stored bytes, and noise."""
    import numpy as np

    from panderm.imaging.masks import load_pairs
    from panderm.serving import mask_parity, parity

    real, true = load_pairs(rows, data, card.preprocessing, f"parity {card.task}")
    noise = parity.noise(config.random_images, card.preprocessing.size, config.seed)
    judged = mask_parity.judged_overlaps(predictions, list(rows["image_id"]))
    return mask_parity.MaskImages(np.concatenate([real, noise]), true, judged)


def _copy_evidence(card: ModelCard, evaluation: Path, verdict: Path, folder: Path) -> None:
    shutil.copyfile(verdict / VERDICT_NAME, folder / bundles.VERDICT)
    for name in (bundles.REPORT, bundles.PREDICTIONS):
        shutil.copyfile(evaluation / name, folder / name)
    write_text(folder / bundles.LABELS, "\n".join(card.classes) + "\n")
    write_text(folder / bundles.PREPROCESSING, card.preprocessing.to_json())


def _card(config: Config, model: TaskModel | MaskModel, graph: Graph, parity: Parity, verdict: Verdict, folder: Path) -> Bundle:
    from panderm.evaluation.figures import figure_of_served
    from panderm.models.mask_model import MaskModel

    report = read_json(folder / bundles.REPORT)
    return Bundle(
        task=model.card.task,
        protocol=model.card.protocol,
        graph=graph,
        classes=model.card.classes,
        input_type=config.input_type,
        size=model.card.preprocessing.size,
        feature_width=None if isinstance(model, MaskModel) or model.head is None else model.head.in_features,
        opset=config.opset,
        model_sha256=verdict.model_sha256,
        encoder_sha256=model.card.encoder_sha256,
        split_sha256=verdict.split_sha256,
        preprocessing_sha256=verdict.preprocessing_sha256,
        report_sha256=verdict.report_sha256,
        verdict_sha256=sha256_file(folder / bundles.VERDICT),
        metric=figure_of_served(report),
        parity=parity,
        provenance={},
        files=bundles.hash_files(folder),
        inputs=model.card.made_from,
        answers="mask" if isinstance(model, MaskModel) else "probabilities",
    )


def _provenance(*folders: Path) -> dict[str, dict[str, str]]:
    """Return the hashes that the records of earlier stages carry: the way back to corpus, data and deliveries."""
    records = [Record.load(folder) for folder in folders if (folder / RECORD_NAME).is_file()]
    return {record.stage: record.hashes for record in records}


def _record(config: Config, bundle: Bundle, digest: str) -> Record:
    names = ("model_sha256", "encoder_sha256", "split_sha256", "preprocessing_sha256", "report_sha256", "verdict_sha256")
    return Record(
        stage="export",
        key=bundle.task,
        counts={"classes": len(bundle.classes), "parity_images": bundle.parity.real_images + bundle.parity.random_images},
        hashes={"bundle": digest} | {name.removesuffix("_sha256"): getattr(bundle, name) for name in names},
        values={"graph": bundle.graph, "opset": bundle.opset, **bundle.parity.model_dump(mode="json")},
        config=config.model_dump(mode="json"),
    )
