"""What the evidence behind a released model does not say: one sentence a gap, found in its report and its split."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from panderm.catalog import dataset, source
from panderm.catalog.table import MODALITIES, SOURCES
from panderm.evaluation.subgroups import LEVELS, SUBGROUPS, subgroup
from panderm.serving import card_masks
from panderm.serving.card_facts import CardFacts


def limits(facts: CardFacts) -> Iterator[str]:
    """Yield the limits of a task's model, the gravest first."""
    yield from _of_the_test(facts)
    if facts.bundle.answers == "mask":
        yield from card_masks.limits(facts)
    yield from _of_classes(facts)
    for column in SUBGROUPS:
        yield from _of_subgroups(facts, column)
    yield from _of_the_encoder(facts)
    if facts.split is not None:
        yield from (f"Of the split: {warning}." for warning in facts.split.values.get("warnings", []))


def _of_the_test(facts: CardFacts) -> Iterator[str]:
    test, shown = facts.test, dataset(facts.dataset).modalities
    others = ", ".join(name for name in MODALITIES if name not in shown)
    if facts.report.get("low") is None:
        yield "The primary figure has no interval, so how far it can be trusted is not known."
    yield (
        f"Judged on {len(test)} images of one data set, {facts.dataset}: other clinics, cameras and people were not tested, "
        f"and no images but {' and '.join(shown)} ones (not: {others})."
    )
    nobody = int(test["patient_id"].isna().sum())
    if nobody:
        yield (
            f"{nobody} of {len(test)} test images name no patient: other images of these people may have been learnt from, and "
            "the intervals may be too narrow."
        )


def _of_classes(facts: CardFacts) -> Iterator[str]:
    if absent := facts.report.get("absent_classes"):
        yield f"No test image of {', '.join(absent)}: nothing is known of how it does on these classes."
    yield from (_too_little(f"class {name}", n, reason) for name, n, reason in _without_interval(facts, "class") if n)


def _of_subgroups(facts: CardFacts, column: str) -> Iterator[str]:
    name, test = column.replace("_", " "), subgroup(facts.test, column)
    known = test.dropna()
    if known.empty:
        yield f"Nothing is known by {name}: no test image says it."
        return
    if len(known) < len(test):
        yield f"Of {len(test) - len(known)} of {len(test)} test images the {name} is not known."
    if absent := _absent(facts, column, known):
        yield f"No test image with {name} {', '.join(absent)}."
    for which, n, reason in _without_interval(facts, "subgroup"):
        if which.startswith(f"{column}="):
            yield _too_little(f"{name} {which.partition('=')[2]}", n, reason)


def _absent(facts: CardFacts, column: str, known: pd.Series) -> list[str]:
    """Return values that the test has not, of the closed list there is, or else of those that the task's other images have."""
    seen = {part for value in known for part in (value, *(str(value).split("-") if column in LEVELS else ()))}
    others = subgroup(facts.rows[facts.rows["split"] != "test"], column).dropna()
    return [str(value) for value in LEVELS.get(column, sorted(others.unique())) if value not in seen]


def _of_the_encoder(facts: CardFacts) -> Iterator[str]:
    if facts.encoder is None:
        yield "The encoder that it began with does not lie beside it, so what that has learnt from is known by its terms alone."
        return
    sources = {row.key for row in SOURCES}
    seen = [one.name for one in facts.encoder.inputs if one.name in sources]
    kinds = {kind for key in seen for kind in source(key).modalities}
    if seen and (missing := [kind for kind in dataset(facts.dataset).modalities if kind not in kinds]):
        yield f"No source of the encoder's corpus holds {' or '.join(missing)} images."
    if "random" in facts.encoder.teacher:
        yield f"The encoder learnt from a {facts.encoder.teacher}."
    if not facts.encoder.steps and not facts.encoder.origin:
        yield "The encoder is untrained."


def _without_interval(facts: CardFacts, scope: str) -> Iterator[tuple[str, int, str]]:
    """Yield name, test images and reason of each class or subgroup with a figure that has none; each name once."""
    rows = facts.figures[(facts.figures["scope"] == scope) & facts.figures["reason"].notna()].drop_duplicates("name")
    yield from zip(rows["name"], rows["n"], rows["reason"], strict=True)


def _too_little(what: str, n: int, reason: str) -> str:
    return f"Too little is known of {what}: {n} test images give no interval ({reason})."
