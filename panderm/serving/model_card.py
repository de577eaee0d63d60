"""``MODEL_CARD.md``: what a released model is, on what evidence, with which limits, under which terms.

Export writes it into the bundle, release beside the version. Every figure was written by a stage and is only quoted; there is
no clock time in it, so that the same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from panderm.catalog import dataset
from panderm.catalog.table import BENCHMARKS, SOURCES
from panderm.core.layout import benchmark_dataset
from panderm.core.terms import MARKS, Input, marked, sentence
from panderm.evaluation.figures import figure_of_served
from panderm.evaluation.verdict import describe
from panderm.serving import card_masks
from panderm.serving.card_facts import CardFacts
from panderm.serving.card_limits import limits

_MANY = 20  # labels above which a part's classes are counted instead of listed; a line stays readable
_MODEL_WORDS = {
    "linear_probe": "a linear head on the frozen encoder",
    "fine_tuning": "a network of its own, begun with the encoder",
    "upernet": "UperNet, a network of its own, begun with the encoder",
}


def as_markdown(facts: CardFacts) -> str:
    """Return the card."""
    parts = (_head, _purpose, _figures, _verdict, _limits, _data, _making, _terms, _chain)
    return "\n".join(line for part in parts for line in part(facts)) + "\n"


def of_version(card: str, version: int, bundle_sha256: str) -> str:
    """Return the card of a bundle as it lies beside the version that the bundle became."""
    what = f"Version {version}, of bundle `{bundle_sha256}`; `release.json` beside this page says when and from what."
    return f"{card}\n## Release\n{what}\n"


def _head(facts: CardFacts) -> Iterator[str]:
    yield f"# Model card: {facts.task.key}"
    yield ""
    if facts.synthetic:
        drawn = ", ".join(one.name for one in facts.synthetic)
        yield (
            f"**Synthetic.** A program drew the images of {len(facts.synthetic)} of the {len(_datasets(facts))} data sets "
            f"behind this model ({drawn}). Its figures show that the pipeline works and say nothing about patients."
        )
        yield ""
    yield f"Research software, not a medical device. {sentence(facts.bundle.inputs)}"
    yield ""


def _purpose(facts: CardFacts) -> Iterator[str]:
    kinds = " or ".join(dataset(facts.dataset).modalities)
    yield "## What it is for, and what not"
    if facts.bundle.answers == "mask":
        yield from card_masks.purpose(facts)
        return
    yield (
        f"It looks at one {kinds} image and says how probable each of {len(facts.bundle.classes)} classes is "
        f"({facts.task.task}): {', '.join(facts.bundle.classes)}. It is for research on images like those it was judged on."
    )
    yield ""
    yield "- Not for diagnosis or treatment: no authority has examined it, and its answer replaces nobody's judgement."
    yield f"- Not for images of another kind than {kinds}."
    yield "- Not for conditions outside its classes: whatever it is shown, it answers with one of them."
    yield ""


def _figures(facts: CardFacts) -> Iterator[str]:
    report, frame, first = facts.report, facts.figures, figure_of_served(facts.report)
    yield "## Figures on the test split"
    on = f"{report.get('n')} images of {report.get('groups')} patients, lesions or images"
    yield f"**{_plain(first['metric'])} {_value(first)}** on {on}. {_made(report)}"
    yield ""
    if facts.bundle.answers == "mask":
        yield from card_masks.choice(facts)
    yield from _calibration(report.get("others", {}))
    for scope, title in (("overall", "All test images"), ("class", "By class"), ("subgroup", "By subgroup")):
        rows = frame[frame["scope"] == scope]
        if len(rows):
            yield f"### {title}"
            yield from _table(
                ("name", "figure", "value (interval)", "images", "groups", "note"), map(_figure, rows.itertuples())
            )
            yield ""


def _made(report: dict[str, Any]) -> str:
    if "replicates" not in report:
        return ""
    drawn = "whole patients" if report["bootstrap"] == "clustered" else "single images"
    interval, replicates = report["interval"], report["replicates"]
    return f"Intervals are {100 * report['level']:g} %, {interval}, of {replicates:,} replicates that draw {drawn}."


def _calibration(others: dict[str, Any]) -> Iterator[str]:
    told = [f"{_plain(name)} {_value(others[name])}" for name in ("calibration_error", "brier") if name in others]
    if told:
        yield f"Calibration (0 is best): {'; '.join(told)}."
        yield ""


def _figure(row: Any) -> tuple[str, ...]:
    value = _value({"value": row.value, "low": row.low, "high": row.high})
    note = row.reason if isinstance(row.reason, str) else ""
    return (row.name or "all", _plain(row.metric), value, str(row.n), str(row.groups), note)


def _verdict(facts: CardFacts) -> Iterator[str]:
    yield "## Verdict"
    yield describe(facts.verdict)


def _limits(facts: CardFacts) -> Iterator[str]:
    yield "## Limits"
    yield from (f"- {limit}" for limit in limits(facts))
    yield ""


def _data(facts: CardFacts) -> Iterator[str]:
    yield "## Data"
    rows = ((one.name, _what(one), f"{one.images:,}" if one.images else "-", one.licence) for one in facts.bundle.inputs)
    yield from _table(("made from", "what it is", "images learnt from", "terms"), rows)
    yield ""
    known = ", ".join(f"{facts.rows[f'{who}_id'].notna().sum()} name a {who}" for who in ("patient", "lesion"))
    yield (
        f"{facts.dataset} is divided by patient, else by lesion, else by image, so that none stands in two parts; "
        f"of {len(facts.rows)} images {known}."
    )
    yield ""
    parts = ((name, facts.rows[facts.rows["split"] == name]) for name in ("train", "val", "test"))
    rows = ((name, str(len(part)), str(part["group"].nunique()), _labels(facts, part)) for name, part in parts)
    yield from _table(("part", "images", "groups", "labels"), rows)
    yield ""


def _what(one: Input) -> str:
    names = {row.key: row.source for row in SOURCES}
    names |= {benchmark_dataset(row.key): f"benchmark {row.number}, {row.task}, {row.modality}" for row in BENCHMARKS}
    words = names.get(one.name, "weights or data from elsewhere")
    return f"synthetic twin of: {words}" if one.synthetic else words


def _labels(facts: CardFacts, part: pd.DataFrame) -> str:
    counts = part["label"].value_counts()
    if len(facts.task.classes) > _MANY:
        return f"{len(counts)} of {len(facts.task.classes)} classes"
    return ", ".join(f"{name} {counts.get(name, 0)}" for name in facts.task.classes)


def _making(facts: CardFacts) -> Iterator[str]:
    model, seen, parity = facts.model, facts.model.preprocessing, facts.bundle.parity
    body = model.architecture
    yield "## Preprocessing and network"
    cut = f"short side to {seen.resize} pixels ({seen.interpolation}, antialiased), centre {seen.size} x {seen.size}"
    if facts.bundle.answers == "mask":
        cut = f"squeezed to {seen.size} x {seen.size} whatever its sides ({seen.interpolation}, antialiased)"
    yield f"- Image: upright, RGB, {cut}, mean {_triple(seen.mean)}, deviation {_triple(seen.std)} of values in 0..1."
    yield (
        f"- Encoder: ViT, {body.image_size} pixels, patches of {body.patch_size}, width {body.width}, {body.depth} blocks, "
        f"{body.heads} heads{_training(facts)}."
    )
    yield f"- Model: {_MODEL_WORDS.get(model.protocol, model.protocol)}."
    yield (
        f"- Served as ONNX (opset {facts.bundle.opset}); a probability differs from torch's by at most "
        f"{parity.max_abs_probability:.1e}, measured on {parity.real_images} test images and {parity.random_images} of noise."
    )
    yield ""


def _training(facts: CardFacts) -> str:
    card = facts.encoder
    if card is None:
        return ""
    told = f"preset {card.preset or 'none'}, {card.steps:,} steps, teacher: {card.teacher or 'none'}" if card.steps else ""
    return "".join(f"; {words}" for words in (told, card.origin) if words)


def _terms(facts: CardFacts) -> Iterator[str]:
    yield "## Terms, and what follows"
    yield f"{sentence(facts.bundle.inputs)} Terms are as published by the provider or as delivered; check yours."
    yield ""
    found = ((mark, marked(facts.bundle.inputs, mark)) for mark in MARKS)
    rows = [
        (mark.name, ", ".join(f"{one.name} ({one.licence})" for one in those), mark.follows) for mark, those in found if those
    ]
    if rows:
        yield from _table(("terms", "of", "so"), rows)
        yield ""


def _chain(facts: CardFacts) -> Iterator[str]:
    bundle, encoder = facts.bundle, facts.encoder
    hashes = facts.published.hashes if facts.published is not None else {}
    corpus = encoder.corpus_sha256 if encoder is not None else ""
    rows = [
        ("version, bundle", "`release.json` beside the version, `bundle.json`", ""),
        ("verdict", "`verdict.json`", bundle.verdict_sha256),
        ("report", "`report.json`", bundle.report_sha256),
        ("predictions", "`predictions.parquet`", facts.report.get("predictions_sha256", "")),
        ("task model", "`model.json`, which names its weights", bundle.model_sha256),
        ("its weights", f"`{facts.model.weights}`", facts.model.weights_sha256),
        ("preprocessing", "`preprocessing.json`", bundle.preprocessing_sha256),
        ("encoder", "`encoder.safetensors`", bundle.encoder_sha256),
        ("corpus", "`corpus.parquet`; its `record.json` names each source's manifest", corpus),
        ("split", "`split.parquet`", bundle.split_sha256),
        (f"data of {facts.dataset}", "`manifest.parquet`", hashes.get("manifest", "")),
        (f"delivery of {facts.dataset}", "hash over all delivered files", hashes.get("delivery", "")),
    ]
    yield "## Where it comes from"
    yield from _table(
        ("what", "file", "sha256"), ((what, file, f"`{digest}`" if digest else "-") for what, file, digest in rows)
    )


def _datasets(facts: CardFacts) -> list[Input]:
    return [one for one in facts.bundle.inputs if one.images]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |"


def _value(figure: dict[str, Any]) -> str:
    """Return a value with its interval; what is undefined or has none says so."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None or pd.isna(value):
        return "undefined"
    return f"{value:.3f}" + (" (no interval)" if low is None or pd.isna(low) else f" ({low:.3f} to {high:.3f})")


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _triple(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
