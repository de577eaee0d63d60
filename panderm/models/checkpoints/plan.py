"""What an import of a file would do, decided before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from panderm.core.errors import InputError
from panderm.models.checkpoints.ledger import Row, require_clean
from panderm.models.checkpoints.options import LAYOUTS, ImportOptions, Layout
from panderm.models.checkpoints.read import Checkpoint
from panderm.models.encoder import EncoderConfig
from panderm.models.regressor import RegressorConfig


@dataclass(frozen=True)
class Plan:
    """The account of one file.

    Attributes:
        checkpoint: the file.
        layout: what it is.
        architecture: of its encoder.
        heads_from: where the encoder's number of heads is from, in words.
        rows: what becomes of every key.
        notes: sentences for the user.
        problems: what stands in the way of an import; empty if nothing does.
        encoder: our encoder's tensors; empty for a fine-tuned network.
        regressor: architecture of the regressor, None without one.
        regressor_heads_from: where its number of heads is from.
        teacher_width: of the head, None without one.
        others: tensors of regressor, mask token and head under our names.
        network: our fine-tuned network's tensors.
        classes: its outputs, 0 otherwise.
        biased: whether it has relative position tables.
        aside: tensors stored under their own keys.
    """

    checkpoint: Checkpoint
    layout: Layout
    architecture: EncoderConfig
    heads_from: str
    rows: list[Row]
    notes: list[str]
    problems: list[str]
    encoder: dict[str, Tensor] = field(default_factory=dict)
    regressor: RegressorConfig | None = None
    regressor_heads_from: str = ""
    teacher_width: int | None = None
    others: dict[str, Tensor] = field(default_factory=dict)
    network: dict[str, Tensor] = field(default_factory=dict)
    classes: int = 0
    biased: bool = False
    aside: dict[str, Tensor] = field(default_factory=dict)

    def require_clean(self) -> None:
        """Refuse an import that would lose or lack a tensor.

        Raises:
            InputError: there are problems; the sentence lists them.
        """
        require_clean(self.checkpoint.name, LAYOUTS[self.layout], self.problems)

    def counts(self) -> dict[str, int]:
        """Return how many keys there are of each fate."""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.fate] = counts.get(row.fate, 0) + 1
        return counts


def recognise(checkpoint: Checkpoint) -> Layout:
    """Return the layout that a file's keys show.

    Raises:
        InputError: none that is known.
    """
    keys = checkpoint.tensors.keys()
    if "encoder.blocks.0.attn.q_bias" in keys:
        return "official_pretraining"
    if "blocks.0.attn.q_bias" in keys:
        return "official_fine_tuned" if "fc_norm.weight" in keys else "official_encoder"
    if any("vit.blocks.0." in key for key in keys):
        raise InputError(f"{checkpoint.name} holds weights of this project already; name its folder, it needs no import")
    if any(key.endswith(("blocks.0.attn.qkv.weight", "trunk.blocks.0.attn.qkv.weight")) for key in keys):
        return "timm"
    if any(key.removeprefix("visual.") == "transformer.resblocks.0.attn.in_proj_weight" for key in keys):
        return "open_clip"
    some = ", ".join(list(keys)[:4])
    raise InputError(
        f"{checkpoint.name} is no layout that is known ({some}, ...); known: official PanDerm or CAE v2 files, timm ViTs, "
        "open_clip image towers"
    )


def plan_import(checkpoint: Checkpoint, options: ImportOptions | None = None) -> Plan:
    """Decide what becomes of every key of a file; problems are told in the plan, not raised.

    Raises:
        InputError: the layout is not known, or the file's sizes cannot be read or form no network of ours.
    """
    from panderm.models.checkpoints.official import plan_encoder, plan_fine_tuned, plan_pretraining
    from panderm.models.checkpoints.towers import plan_open_clip, plan_timm

    layout, options = recognise(checkpoint), options or ImportOptions()
    planners = {
        "official_pretraining": plan_pretraining,
        "official_encoder": plan_encoder,
        "official_fine_tuned": plan_fine_tuned,
        "timm": plan_timm,
        "open_clip": plan_open_clip,
    }
    return planners[layout](checkpoint, options)
