"""The contract of a dataset as data, and the result of holding a manifest against it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import Field

from panderm.core.config import FrozenConfig

Severity = Literal["critical", "warning"]


class Threshold(FrozenConfig):
    """A number of a contract and the reason for it."""

    value: float = Field(ge=0, allow_inf_nan=False)
    because: str


class Share(Threshold):
    """A share, and the reason for it."""

    value: float = Field(ge=0, le=1)


class Contract(FrozenConfig):
    """Thresholds a manifest has to meet; ``contracts.yaml`` holds them with their reasons.

    Attributes:
        min_images: fewest images in the manifest.
        max_quarantined: largest share of image files in quarantine, 0..1; more stops publication.
        usual_quarantined: share of image files in quarantine above which somebody should look, 0..1; a warning.
        min_side: smallest stored side, pixels.
        patient_share: smallest share of images with a patient id, 0..1; 0 for sources without.
        lesion_share: smallest share of images with a lesion id, 0..1; 0 for sources without.
        verify_images: how many stored images are read back and hashed.
    """

    min_images: Threshold
    max_quarantined: Share
    usual_quarantined: Share
    min_side: Threshold
    patient_share: Share
    lesion_share: Share
    verify_images: Threshold


class Rule(FrozenConfig):
    """One rule and what came of it.

    Attributes:
        name: what is asked, in words.
        expected: the threshold or set, in words.
        seen: what was found, in words.
        passed: whether it holds.
        severity: a critical rule that fails stops publication; a warning is shown.
        because: why the rule is there, in words.
    """

    name: str
    expected: str
    seen: str
    passed: bool
    severity: Severity
    because: str = ""


class Audit(FrozenConfig):
    """The result for one staged version, bound to it by hash.

    Attributes:
        dataset: the dataset's key.
        manifest_sha256: of the very ``manifest.parquet`` that was audited.
        quarantine_sha256: of ``quarantine.parquet``.
        record_sha256: of ingest's ``record.json``.
        judged_by: hash of the contract, of what was seen in the shards, and of the versions that judged; the same hashes
            give the same result.
        passed: whether every critical rule holds.
        rules: all rules in their order.
        counts: ingest's counts.
        reasons: quarantine reasons and how often.
        synthetic: whether the delivery is a synthetic twin.
    """

    dataset: str
    manifest_sha256: str
    quarantine_sha256: str = ""
    record_sha256: str = ""
    judged_by: str = ""
    passed: bool
    rules: tuple[Rule, ...]
    counts: dict[str, int]
    reasons: dict[str, int]
    synthetic: bool = False

    @property
    def broken(self) -> tuple[Rule, ...]:
        """The critical rules that do not hold."""
        return tuple(rule for rule in self.rules if not rule.passed and rule.severity == "critical")


@cache
def _table() -> dict[str, Any]:
    table = yaml.safe_load((resources.files(__package__) / "contracts.yaml").read_text())
    assert isinstance(table, dict)
    return table


def contract_of(dataset: str, site: Mapping[str, float] | None = None) -> Contract:
    """Return a dataset's contract: the defaults, its own row over them, and a site's own thresholds over both.

    Args:
        dataset: the dataset's key.
        site: threshold -> value, from ``params.yaml``.

    Raises:
        ConfigError: ``site`` names no threshold of a contract, or a value is negative.
    """
    table = _table()
    values: dict[str, Any] = table["defaults"] | table["datasets"].get(dataset, {})
    values |= {name: {"value": value, "because": "set by this site"} for name, value in (site or {}).items()}
    return Contract.parse(values, where=f"contract of {dataset}")


def contracted_datasets() -> tuple[str, ...]:
    """Return the datasets with a row of their own."""
    return tuple(_table()["datasets"])
