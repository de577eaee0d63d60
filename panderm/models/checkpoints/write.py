"""Write what an import made: an encoder folder with its regressor, or a task model folder; whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from panderm.catalog import benchmark
from panderm.core.errors import InputError
from panderm.core.files import building_folder, sha256_file, write_json, writing
from panderm.core.record import Record
from panderm.models.checkpoints.options import LAYOUTS, ImportOptions
from panderm.models.checkpoints.plan import Plan, plan_import
from panderm.models.checkpoints.read import read_checkpoint
from panderm.models.checkpoints.regressor_file import REGRESSOR_NAME, RegressorCard, save_regressor
from panderm.models.encoder import Encoder, EncoderCard, save_encoder
from panderm.models.task_model import WEIGHTS, ModelCard, save_card

STAGE = "checkpoint_import"
KEYS_NAME, ASIDE_NAME = "import.json", "aside.safetensors"


def import_checkpoint(
    file: Path,
    out: Path,
    options: ImportOptions | None = None,
    *,
    task: str = "",
    classes: tuple[str, ...] = (),
    split: Path | None = None,
    say: Callable[[str], None] = print,
) -> Record:
    """Turn a checkpoint of somebody else's into a folder of ours.

    Args:
        file: ``.pth``, ``.pt``, ``.bin`` or ``.safetensors``.
        out: an encoder folder (``encoder.safetensors``, ``encoder.json``, with a regressor also ``regressor.safetensors`` and
            ``regressor.json``), or for fine-tuned networks a task model folder; also ``import.json`` (what became of every
            key), ``aside.safetensors`` if tensors were kept aside, and ``record.json``.
        options: what the file does not say itself.
        task: benchmark key of a fine-tuned network.
        classes: its classes in the order of its outputs; empty takes the catalogue's.
        split: folder of the split that it may be judged on; without one, evaluation refuses the model.
        say: gets each note.

    Raises:
        InputError: the file cannot be read, a key has no place, a tensor is missing or of another shape, or ``out`` holds
            something else.
    """
    options = options or ImportOptions()
    plan = plan_import(read_checkpoint(file), options)
    plan.require_clean()
    for note in plan.notes:
        say(note)
    _refuse_foreign(out)
    card = _model_card(plan, options, task, classes, split) if plan.network else None
    with building_folder(out) as folder:
        hashes = _write_network(folder, plan, card) if card else _write_encoder(folder, plan, options)
        if plan.aside:
            hashes["aside"] = save_tensors(folder / ASIDE_NAME, plan.aside)
        rows = [asdict(row) for row in plan.rows]
        write_json(folder / KEYS_NAME, {"file": plan.checkpoint.name, "sha256": plan.checkpoint.sha256, "keys": rows})
        record = Record(
            stage=STAGE,
            key=task,
            counts={fate.replace(" ", "_"): number for fate, number in sorted(plan.counts().items())},
            hashes={"file": plan.checkpoint.sha256, **hashes},
            values={"layout": plan.layout, "licence": options.terms(plan.layout), "notes": plan.notes},
            config=options.model_dump(mode="json"),
        )
        record.save(folder)
    return record


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write tensors as safetensors, whole or not at all, and return the file's sha256."""
    with writing(path) as aside:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside, metadata={"format": "pt"})
    return sha256_file(path)


def _refuse_foreign(out: Path) -> None:
    """Replace nothing but former imports: ``out`` may hold days of training."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / KEYS_NAME).is_file())):
        raise InputError(f"{out} holds something that is no former import; name a new folder, or remove it first")


def _origin(plan: Plan) -> str:
    return f"{LAYOUTS[plan.layout]}, sha256 {plan.checkpoint.sha256}"


def _write_encoder(folder: Path, plan: Plan, options: ImportOptions) -> dict[str, str]:
    with torch.device("meta"):  # no initial weights are drawn that the file's would replace
        encoder = Encoder(plan.architecture)
    encoder.load_state_dict(plan.encoder, strict=True, assign=True)
    preprocessing = options.preprocessing(plan.layout, plan.architecture.image_size)
    origin, licence = _origin(plan), options.terms(plan.layout)
    card = EncoderCard(architecture=plan.architecture, preprocessing=preprocessing, origin=origin, licence=licence)
    hashes = {"encoder": save_encoder(folder, encoder, card).sha256}
    if plan.regressor is not None:
        regressor = RegressorCard(
            architecture=plan.regressor,
            encoder_width=plan.architecture.width,
            grid=plan.architecture.grid,
            teacher_width=plan.teacher_width,
        )
        hashes["regressor"] = save_regressor(folder, plan.others, regressor).sha256
        assert (folder / REGRESSOR_NAME).is_file()
    return hashes


def _write_network(folder: Path, plan: Plan, card: ModelCard) -> dict[str, str]:
    digest = save_tensors(folder / card.weights, plan.network)
    save_card(folder, card.model_copy(update={"weights_sha256": digest}))
    return {"network": digest}


def _model_card(plan: Plan, options: ImportOptions, task: str, classes: tuple[str, ...], split: Path | None) -> ModelCard:
    if not task:
        raise InputError(
            f"{plan.checkpoint.name} is a fine-tuned network with {plan.classes} outputs; say its task with --task"
        )
    row = benchmark(task)
    named = classes or row.classes
    if len(named) != plan.classes or sorted(named) != sorted(row.classes):
        raise InputError(
            f"{plan.checkpoint.name} has {plan.classes} outputs, but the named ones are {', '.join(named) or 'none'} and those "
            f"of {task} are {', '.join(row.classes) or 'none'}; name all of them in the order of the outputs with --classes"
        )
    config: dict[str, Any] = {"imported": {"layout": plan.layout, "sha256": plan.checkpoint.sha256}}
    return ModelCard(
        task=task,
        protocol="fine_tuning",
        classes=named,
        preprocessing=options.preprocessing(plan.layout, plan.architecture.image_size),
        architecture=plan.architecture,
        relative_position_bias=plan.biased,
        encoder_sha256="",
        weights=WEIGHTS["fine_tuning"],
        weights_sha256="",
        split_sha256=_split_sha256(split),
        config=config,
        licence=options.terms(plan.layout),
    )


def _split_sha256(split: Path | None) -> str:
    if split is None:
        return ""
    table = split / "split.parquet"
    if not table.is_file():
        raise InputError(f"{table} is missing; name the folder of the task's split, or run `panderm curate` first")
    return sha256_file(table)
