"""The contract of a dataset as data, and the result of holding a manifest against it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import Field

from panderm.core.config import FrozenConfig

Severity = Literal["critical", "warning"]


class Contract(FrozenConfig):
    """Thresholds a manifest has to meet; where each comes from stands in ``contracts.yaml``.

    Attributes:
        min_images: fewest images in the manifest.
        max_quarantined: largest share of image files in quarantine, 0..1.
        min_side: smallest stored side, pixels.
        patient_share: smallest share of images with a patient id, 0..1; 0 for sources without.
        lesion_share: smallest share of images with a lesion id, 0..1; 0 for sources without.
        verify_images: how many stored images are read back and hashed.
    """

    min_images: int = Field(ge=1)
    max_quarantined: float = Field(ge=0, le=1)
    min_side: int = Field(ge=1)
    patient_share: float = Field(ge=0, le=1)
    lesion_share: float = Field(ge=0, le=1)
    verify_images: int = Field(ge=0)


class Rule(FrozenConfig):
    """One rule and what came of it.

    Attributes:
        name: what is asked, in words.
        expected: the threshold or set, in words.
        seen: what was found, in words.
        passed: whether it holds.
        severity: a critical rule that fails stops publication; a warning is shown.
    """

    name: str
    expected: str
    seen: str
    passed: bool
    severity: Severity


class Audit(FrozenConfig):
    """The result for one manifest, bound to it by hash.

    Attributes:
        dataset: the dataset's key.
        manifest_sha256: of the very ``manifest.parquet`` that was audited.
        passed: whether every critical rule holds.
        rules: all rules in their order.
        counts: ingest's counts.
        reasons: quarantine reasons and how often.
        synthetic: whether the delivery says that it is a synthetic twin.
    """

    dataset: str
    manifest_sha256: str
    passed: bool
    rules: tuple[Rule, ...]
    counts: dict[str, int]
    reasons: dict[str, int]
    synthetic: bool = False


@cache
def _table() -> dict[str, Any]:
    table = yaml.safe_load((resources.files(__package__) / "contracts.yaml").read_text())
    assert isinstance(table, dict)
    return table


def contract_of(dataset: str) -> Contract:
    """Return a dataset's contract: the defaults with its own row over them."""
    table = _table()
    return Contract.parse(table["defaults"] | table["datasets"].get(dataset, {}), where=f"contract of {dataset}")


def contracted_datasets() -> tuple[str, ...]:
    """Return the datasets with a row of their own."""
    return tuple(_table()["datasets"])
