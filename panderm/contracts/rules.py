"""The rules as Great Expectations: facts about images are columns, so stock expectations do all the judging."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd

from panderm.catalog import Dataset
from panderm.contracts.contract import Contract, Rule, Severity

_SHA256 = r"^[0-9a-f]{64}$"
_SKIN_TYPES = ["I", "II", "III", "IV", "V", "VI"]


def expectations(contract: Contract, dataset: Dataset) -> Iterator[tuple[str, str, Severity, Any]]:
    """Yield (name, expected in words, severity, expectation) for a dataset's manifest."""
    import great_expectations.expectations as gxe

    def between(column: str, low: float | None, high: float | None) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)

    def among(column: str, values: list[str]) -> Any:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values)

    count = gxe.ExpectTableRowCountToBeBetween(min_value=contract.min_images)
    yield "images", f"at least {contract.min_images}", "critical", count
    for column in ("image_id", "stored_sha256", "phash", "shard"):
        yield f"{column} present", "in every row", "critical", gxe.ExpectColumnValuesToNotBeNull(column=column)
    yield "image_id unique", "no two rows alike", "critical", gxe.ExpectColumnValuesToBeUnique(column="image_id")
    yield "stored images distinct", "no two rows alike", "warning", gxe.ExpectColumnValuesToBeUnique(column="stored_sha256")
    for column in ("delivered_sha256", "stored_sha256"):
        hexadecimal = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=_SHA256)
        yield f"{column} well-formed", "64 hex digits", "critical", hexadecimal
    modalities: list[str] = list(dataset.modalities)
    yield "modality", f"one of {', '.join(modalities)}", "critical", among("modality", modalities)
    if dataset.classes:
        yield "label present", "in every row", "critical", gxe.ExpectColumnValuesToNotBeNull(column="label")
        yield "label", f"one of {', '.join(dataset.classes)}", "critical", among("label", list(dataset.classes))
    yield "split", "train, val, test or none", "critical", among("split", ["train", "val", "test"])
    yield "sex", "female, male or unknown", "warning", among("sex", ["female", "male"])
    yield "age", "0 to 120 years or unknown", "warning", between("age", 0, 120)
    yield "skin type", "I to VI or unknown", "warning", among("skin_type", _SKIN_TYPES)
    yield "smallest side", f"at least {contract.min_side} px", "critical", between("min_side", contract.min_side, None)
    share = f"at most {contract.max_quarantined:.0%} of the image files"
    yield "quarantined", share, "critical", between("quarantined_share", None, contract.max_quarantined)
    yield "counts add up", "files = images + quarantined + metadata", "critical", among("counts_add_up", ["yes"])
    yield "bytes intact", "sha256 of the bytes in the shard as recorded", "critical", among("bytes_intact", ["yes"])
    for column, least in (("patient_id", contract.patient_share), ("lesion_id", contract.lesion_share)):
        if least > 0:
            present = gxe.ExpectColumnValuesToNotBeNull(column=column, mostly=least)
            yield f"{column} present", f"in at least {least:.0%} of the rows", "critical", present


def hold(frame: pd.DataFrame, contract: Contract, dataset: Dataset) -> tuple[Rule, ...]:
    """Hold a manifest with its facts (columns ``min_side``, ``quarantined_share``, ...) against the contract."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off everywhere
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
        whole = (
            context.data_sources.add_pandas("staged")
            .add_dataframe_asset("manifest")
            .add_batch_definition_whole_dataframe("all")
        )
        rows = list(expectations(contract, dataset))
        suite = context.suites.add(gx.ExpectationSuite(name="contract", expectations=[row[3] for row in rows]))
        definition = gx.ValidationDefinition(name="audit", data=whole, suite=suite)
        results = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame}, result_format="SUMMARY"
        )
    # Results come back grouped by column; the id each expectation was given by the suite leads back to its row.
    by_id = {result.expectation_config.id: result for result in results.results}
    return tuple(
        Rule(
            name=name,
            expected=expected,
            seen=_seen(by_id[expectation.id]),
            passed=bool(by_id[expectation.id].success),
            severity=severity,
        )
        for (name, expected, severity, _), expectation in zip(rows, suite.expectations, strict=True)
    )


def _seen(result: Any) -> str:
    if result.exception_info and result.exception_info.get("raised_exception"):
        return str(result.exception_info["exception_message"])
    found = result.result
    if "observed_value" in found:
        return str(found["observed_value"])
    bad, total = found.get("unexpected_count", 0), found.get("element_count", 0)
    if not bad:
        return f"all {total} rows" if total else "no rows"
    examples = ", ".join(dict.fromkeys(str(value) for value in found.get("partial_unexpected_list", [])[:3]))
    return f"{bad} of {total} rows differ{f', such as {examples}' if examples else ''}"
