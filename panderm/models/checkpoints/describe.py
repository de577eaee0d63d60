"""What a file or folder is, for people and for programs: layout, sizes, a table by part, and what an import would do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from panderm.core.errors import InputError
from panderm.models.checkpoints.options import LAYOUTS, ImportOptions
from panderm.models.checkpoints.plan import Plan, plan_import
from panderm.models.checkpoints.read import Checkpoint, read_checkpoint
from panderm.models.checkpoints.regressor_file import REGRESSOR_NAME, load_regressor, regressor_heads
from panderm.models.encoder import CARD_NAME, load_encoder
from panderm.models.task_model import MODEL_NAME, load_model_card


def describe(path: Path, options: ImportOptions | None = None) -> dict[str, Any]:
    """Return what ``path`` is, JSON values only.

    Args:
        path: a checkpoint file, or a folder of ours (encoder or task model).
        options: as for an import.

    Returns:
        ``what``, ``facts`` (name -> value), ``parts`` (rows of the table), ``keys`` (what becomes of each), ``notes``, and
        ``refused`` (empty, or why an import would refuse).

    Raises:
        InputError: it cannot be read, or a folder holds nothing of ours.
    """
    if path.is_dir():
        return _folder(path)
    checkpoint = read_checkpoint(path)
    try:
        plan = plan_import(checkpoint, options)
    except InputError as error:
        return _told(checkpoint, "a file of tensors", {}, [], [], str(error))
    try:
        plan.require_clean()
        refused = ""
    except InputError as error:
        refused = str(error)
    keys = [asdict(row) for row in plan.rows]
    return _told(checkpoint, LAYOUTS[plan.layout], _sizes(plan, options or ImportOptions()), keys, plan.notes, refused)


def _told(
    checkpoint: Checkpoint, what: str, facts: dict[str, Any], keys: list[dict[str, Any]], notes: list[str], refused: str
) -> dict[str, Any]:
    values = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    wrapped = f"under {checkpoint.wrapper!r}" if checkpoint.wrapper else "flat"
    general = {
        "file": f"{wrapped}{', prefix module.' if checkpoint.prefix else ''}, sha256 {checkpoint.sha256}",
        "tensors": f"{len(checkpoint.tensors)} with {values:,} values ({values * 4 / 1e9:.3f} GB in float32)",
    }
    if checkpoint.stored:
        general["half precision"] = f"{len(checkpoint.stored)} tensors, widened to float32 (exact)"
    if checkpoint.arguments:
        general["trained with"] = ", ".join(f"{key}={value}" for key, value in sorted(checkpoint.arguments.items()))
    return {
        "what": f"{checkpoint.name} is {what}",
        "facts": general | facts,
        "parts": _parts(checkpoint, keys),
        "keys": keys,
        "notes": notes,
        "refused": refused,
    }


def _sizes(plan: Plan, options: ImportOptions) -> dict[str, Any]:
    body = plan.architecture
    encoder = f"{body.image_size} px, patch {body.patch_size}, width {body.width}, {body.depth} blocks"
    facts = {"encoder": f"{encoder}, {body.heads} heads ({plan.heads_from}), MLP x {body.mlp_ratio:g}"}
    if body.pre_norm:
        facts["encoder"] += f", norm before the blocks, {body.activation}"
    if (part := plan.regressor) is not None:
        heads = f"{part.heads} heads of {part.width // part.heads} ({plan.regressor_heads_from})"
        facts["regressor"] = f"width {part.width}, {part.depth} blocks, {heads}"
        facts["head"] = f"to the teacher's {plan.teacher_width}" if plan.teacher_width else "none"
    if plan.classes:
        biased = "with relative position tables" if plan.biased else "without relative position tables"
        facts["head"] = f"{plan.classes} classes, {biased}"
    seen = options.preprocessing(plan.layout, body.image_size)
    facts["pixels"] = f"short side {seen.resize}, centre {seen.size}, {seen.interpolation}, mean {seen.mean}, std {seen.std}"
    facts["licence"] = options.terms(plan.layout)
    return facts


def _parts(checkpoint: Checkpoint, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each part and fate; without a plan, one for each beginning of the keys."""
    if not keys:
        keys = [{"key": key, "part": key.split(".")[0], "fate": ""} for key in checkpoint.tensors]
    groups: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        groups.setdefault((key["part"], key["fate"]), []).append(key["key"])
    return [
        {
            "part": part,
            "keys": len(members),
            "values": f"{sum(checkpoint.tensors[key].numel() for key in members if key in checkpoint.tensors):,}",
            "import": fate,
        }
        for (part, fate), members in groups.items()
    ]


def _folder(path: Path) -> dict[str, Any]:
    if (path / MODEL_NAME).is_file():
        model = load_model_card(path)
        facts = {"task": model.task, "protocol": model.protocol, "classes": ", ".join(model.classes), "licence": model.licence}
        return _ours(f"{path.name} is a task model of ours", facts)
    if not (path / CARD_NAME).is_file():
        raise InputError(f"{path} holds neither {CARD_NAME} nor {MODEL_NAME}; name a checkpoint file, or a folder of ours")
    encoder, card = load_encoder(path)
    body = card.architecture
    sizes = f"{body.image_size} px, patch {body.patch_size}, width {body.width}"
    facts = {
        "encoder": f"{sizes}, {body.depth} blocks, {body.heads} heads",
        "tensors": f"{len(encoder.state_dict())}",
        "origin": card.origin or f"preset {card.preset or 'none'}, {card.steps} steps",
        "licence": card.licence,
    }
    if (path / REGRESSOR_NAME).is_file():
        facts["regressor"] = f"{len(load_regressor(path))} tensors, {regressor_heads(path) or 'unknown number of'} heads"
    return _ours(f"{path.name} is an encoder of ours", facts)


def _ours(what: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"what": what, "facts": facts, "parts": [], "keys": [], "notes": ["it needs no import"], "refused": ""}
