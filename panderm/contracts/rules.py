"""The rules as Great Expectations: facts about images are columns, so stock expectations do all the judging."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pandas as pd

from panderm.catalog import Dataset
from panderm.contracts.contract import Contract, Rule, Severity

_HEX_DIGITS = {"delivered_sha256": 64, "stored_sha256": 64, "phash": 16}
_SAFE_ID = r"^[A-Za-z0-9_-]{1,80}$"
_SETS = {
    "split": (["train", "val", "test"], "splits are taken over word for word"),
    "sex": (["female", "male"], "subgroups are reported by it"),
    "skin_type": (["I", "II", "III", "IV", "V", "VI", "I-II", "III-IV", "V-VI"], "subgroups are reported by it"),
    "role": (["image", "mask"], "a mask is never taken for a picture"),
}
_OLDEST = 120.0  # years
_NO_IDS = "; the public code's table has none, so the split as shipped is taken at its word and every image stands for itself"


class Asked(NamedTuple):
    """A rule before it is held against anything."""

    name: str
    expected: str
    because: str
    expectation: Any
    words: Callable[[Any], str] = str  # observed value -> words


def about_the_delivery(contract: Contract) -> Iterator[Asked]:
    """Yield the rules for :func:`panderm.contracts.facts.of_delivery`."""
    import great_expectations.expectations as gxe

    least = contract.min_images
    count = gxe.ExpectColumnMinToBeBetween(column="images", min_value=least.value, severity="critical")
    yield Asked("enough images", f"at least {least.value:.0f}", least.because, count)
    severities: tuple[Severity, Severity] = ("critical", "warning")
    for most, severity in zip((contract.max_quarantined, contract.usual_quarantined), severities, strict=True):
        share = gxe.ExpectColumnMaxToBeBetween(column="quarantined_share", max_value=most.value, severity=severity)
        name = "in quarantine" if severity == "critical" else "usually in quarantine"
        yield Asked(name, f"at most {most.value:.0%} of the images", most.because, share, lambda seen: f"{seen:.1%}")
    lost = gxe.ExpectColumnMaxToBeBetween(column="unaccounted_files", max_value=0, severity="critical")
    because = "a file that is neither image nor quarantine nor metadata was skipped in silence"
    yield Asked("counts add up", "files = images + quarantined + metadata", because, lost, lambda seen: f"{seen} unaccounted")


def about_the_images(contract: Contract, dataset: Dataset, ids: Severity = "critical") -> Iterator[Asked]:
    """Yield the rules for :func:`panderm.contracts.facts.of_images`.

    Args:
        contract: the thresholds.
        dataset: what was delivered.
        ids: how grave it is that patient or lesion ids are missing; a warning where the layout has none to give.
    """
    yield from _about_pictures(contract, dataset)
    yield from _about_people(contract, dataset, ids)


def _about_pictures(contract: Contract, dataset: Dataset) -> Iterator[Asked]:
    import great_expectations.expectations as gxe

    intact = gxe.ExpectColumnValuesToBeInSet(column="bytes_intact", value_set=["yes"], severity="critical")
    expected = f"sha256 in the shard as recorded, of {contract.verify_images.value:.0f} images or all"
    yield Asked("bytes intact", expected, contract.verify_images.because, intact)
    unique = gxe.ExpectColumnValuesToBeUnique(column="image_id", severity="critical")
    yield Asked("image_id unique", "no two rows alike", "everything downstream is joined by it", unique)
    safe = gxe.ExpectColumnValuesToMatchRegex(column="image_id", regex=_SAFE_ID, severity="critical")
    yield Asked("image_id safe", "letters, digits, _ and -", "it becomes the key of a sample in a tar", safe)
    distinct = gxe.ExpectColumnValuesToBeUnique(column="picture_sha256", severity="critical")
    yield Asked("images distinct", "no two rows alike", "the same picture could stand on both sides of a split", distinct)
    for column, digits in _HEX_DIGITS.items():
        matches = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=f"^[0-9a-f]{{{digits}}}$", severity="critical")
        yield Asked(f"{column} well-formed", f"{digits} hex digits", "curation compares it", matches)
    for column in ("image_id", "modality", "stored_sha256", "phash", "shard", "offset", "nbytes"):
        present = gxe.ExpectColumnValuesToNotBeNull(column=column, severity="critical")
        yield Asked(f"{column} present", "in every row", "no stage can do without", present)
    modalities: list[Any] = list(dataset.modalities)
    modality = gxe.ExpectColumnValuesToBeInSet(column="modality", value_set=modalities, severity="critical")
    yield Asked("modality", f"one of {', '.join(modalities)}", "the catalogue says what the source delivers", modality)
    small = contract.min_side
    side = gxe.ExpectColumnValuesToBeBetween(column="min_side", min_value=small.value, severity="critical")
    yield Asked("smallest side", f"at least {small.value:.0f} px", small.because, side)


def _about_people(contract: Contract, dataset: Dataset, ids: Severity) -> Iterator[Asked]:
    import great_expectations.expectations as gxe

    if dataset.classes:
        classes: list[Any] = list(dataset.classes)
        present = gxe.ExpectColumnValuesToNotBeNull(column="label", severity="critical")
        yield Asked("label present", "in every row", "a benchmark's image without one is of no use", present)
        label = gxe.ExpectColumnValuesToBeInSet(column="label", value_set=classes, severity="critical")
        yield Asked("label", f"one of {', '.join(classes)}", "they are the task's classes", label)
    for column, least in (("patient_id", contract.patient_share), ("lesion_id", contract.lesion_share)):
        namespace = f"^{dataset.patient_namespace}:."
        named = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=namespace, severity="critical")
        yield Asked(f"{column} in its namespace", f"{dataset.patient_namespace}:… or none", "cohorts share people by it", named)
        if least.value > 0:
            present = gxe.ExpectColumnValuesToNotBeNull(column=column, mostly=least.value, severity=ids)
            expected = f"in at least {least.value:.0%} of the rows{_NO_IDS if ids == 'warning' else ''}"
            yield Asked(f"{column} present", expected, least.because, present)
    for column, (values, because) in _SETS.items():
        among = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list[Any](values), severity="critical")
        yield Asked(column.replace("_", " "), f"{', '.join(values)} or unknown", because, among)
    age = gxe.ExpectColumnValuesToBeBetween(column="age", min_value=0.0, max_value=_OLDEST, severity="critical")
    yield Asked("age", f"0 to {_OLDEST:.0f} years or unknown", "the oldest person on record reached 122", age)


def hold(
    delivery: pd.DataFrame, images: pd.DataFrame, contract: Contract, dataset: Dataset, ids: Severity = "critical"
) -> tuple[Rule, ...]:
    """Hold a delivery against its contract.

    Args:
        delivery: :func:`panderm.contracts.facts.of_delivery`'s row.
        images: :func:`panderm.contracts.facts.of_images`'s rows.
        contract: the thresholds.
        dataset: what was delivered.
        ids: see :func:`about_the_images`.
    """
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off everywhere
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
        rules = _held(context, "delivery", delivery, list(about_the_delivery(contract)))
        return rules + _held(context, "images", images, list(about_the_images(contract, dataset, ids)))


def _held(context: Any, name: str, frame: pd.DataFrame, asked: list[Asked]) -> tuple[Rule, ...]:
    """Run one suite over one table."""
    import great_expectations as gx

    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    whole = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[row.expectation for row in asked]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=whole, suite=suite))
    results = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
    # Results come back grouped by column; the id each expectation was given by the suite leads back to its row.
    by_id = {result.expectation_config.id: result for result in results.results}
    return tuple(_rule(row, by_id[given.id]) for row, given in zip(asked, suite.expectations, strict=True))


def _rule(row: Asked, result: Any) -> Rule:
    return Rule(
        name=row.name,
        expected=row.expected,
        seen=_seen(row, result),
        passed=bool(result.success),
        severity=row.expectation.severity,
        because=row.because,
    )


def _seen(row: Asked, result: Any) -> str:
    found = result.result
    if found.get("observed_value") is not None:
        return row.words(found["observed_value"])
    bad, total, missing = (found.get(f"{name}_count") or 0 for name in ("unexpected", "element", "missing"))
    if not total:
        return "nothing to look at"
    if not bad:
        known = total - missing
        return f"all {total} rows" if not missing else f"{known} of {total} rows, none in the others" if known else "none given"
    examples = ", ".join(dict.fromkeys(str(value) for value in found.get("partial_unexpected_list") or [] if value is not None))
    return f"{bad} of {total} rows differ{f', such as {examples[:120]}' if examples else ''}"
