"""Twins of the in-house tasks that are delivered as one CSV: conditions, sequences, outcomes, skin damage, nevi."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from panderm.twins.canvas import Rng, seed_of
from panderm.twins.clinical import benchmark_classes, condition_looks
from panderm.twins.further import Looks, Twin
from panderm.twins.layouts import Laid, Row, Table, age, extension
from panderm.twins.shots import Shot

_BROAD = benchmark_classes("mmt_09")
_FINE = tuple(f"{_BROAD[n % len(_BROAD)]} {n // len(_BROAD) + 1}" for n in range(74))
"""Words of the 74 conditions' twin: each is a kind of one of the nine, as in the paper."""

_PATIENTS = (1, 2, 1)


def _mmt_looks(label: str) -> Looks:
    """Return looks of the broad class and of the condition, so that both tasks have something to learn."""
    broad, own = condition_looks(label.rsplit(" ", 1)[0]), condition_looks(label)
    return own | {name: 1.5 * often for name, often in broad.items()}


def _named(key: str) -> Callable[[int, str], str]:
    return lambda n, _: f"{key}-{n:06d}"


def _mixed(table: dict[str, Looks]) -> Callable[[str], Looks]:
    return lambda label: table[label]


_OUTCOMES: dict[str, Looks] = {
    "control": {"nv": 0.7, "mel": 0.3},
    "local": {"mel": 0.65, "scc": 0.35},
    "distant": {"scc": 0.7, "mel": 0.3},
}
_DAMAGE: dict[str, Looks] = {
    "low": {"df": 0.8, "Tinea versicolor": 0.2},
    "moderate": {"Tinea versicolor": 0.7, "Purpura": 0.15, "df": 0.15},
    "severe": {"Purpura": 0.8, "Tinea versicolor": 0.2},
}
_MMT = Twin(
    "clinical", dict.fromkeys(_FINE, 5), _mmt_looks, (72, 72), _named("mmt"), lesions=_PATIENTS, least=3, one_camera=0.7
)
TWINS: dict[str, Twin] = {
    "mmt_09": _MMT,
    "mmt_74": _MMT,
    "sddi_alfred": Twin(
        "dermoscopic",
        {"benign": 56, "malignant": 56},
        _mixed({"benign": {"nv": 0.85, "bkl": 0.15}, "malignant": {"nv": 0.8, "mel": 0.2}}),
        (112, 84),
        _named("alfred"),
        views=(4, 2, 5, 3, 1),
        lesions=(1, 1, 2),
        looks_later=lambda label: {"mel": 1.0} if label == "malignant" else None,
        least=14,
    ),
    "sddi2": Twin(
        "dermoscopic",
        {"unchanged": 56, "changed": 48},
        lambda _: {"nv": 1.0},
        (160, 120),
        _named("sddi2"),
        views=(2,),
        lesions=(1, 2),
        looks_later=lambda label: {"mel": 0.6, "bkl": 0.4} if label == "changed" else None,
        least=12,
    ),
    "combinemel": Twin(
        "dermoscopic",
        {"control": 80, "local": 36, "distant": 32},
        _mixed(_OUTCOMES),
        (112, 84),
        _named("combinemel"),
        views=(1, 2, 1),
        lesions=(1,),
        least=8,
    ),
    "photodamage": Twin("tbp", dict.fromkeys(_DAMAGE, 36), _mixed(_DAMAGE), (96, 96), _named("pd"), lesions=(3, 2), least=6),
    "nevus_count": Twin(
        "tbp",
        {"other": 60, "nevus": 60},
        _mixed({"other": {"df": 0.4, "bkl": 0.4, "vasc": 0.1, "nv": 0.1}, "nevus": {"nv": 0.9, "bkl": 0.1}}),
        (80, 80),
        _named("nevus"),
        form="PNG",
        lesions=(4, 3),
        least=8,
    ),
}
"""Task -> what its twin holds."""

_COLUMNS = ["image", "patient_id", "lesion_id", "visit", "age", "sex", "site", "skin_type"]


def _row(shot: Shot) -> Row:
    """Return what every table says of a photo; trouble's extra photos are lesions of their own."""
    return {
        "image": f"{shot.name}{extension(shot)}",
        "patient_id": shot.patient,
        "lesion_id": f"{shot.lesion}-{shot.name}" if shot.extra else shot.lesion,
        "visit": shot.visit,
        "age": age(shot) or "NaN",
        "sex": shot.sex.title() or "Unknown",
        "site": shot.site.title(),
        "skin_type": shot.more["tone"],
    }


def _laid(shots: list[Shot], rows: list[Row], columns: list[str]) -> Laid:
    photos = {f"images/{shot.name}{extension(shot)}": shot for shot in shots}
    table = Table([*_COLUMNS, *columns], [_row(shot) | row for shot, row in zip(shots, rows, strict=True)], "image")
    return Laid(photos, {"metadata.csv": table})


def task_csv(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` and ``images/``; the teledermatology sets have two label columns and a ``classes_74.txt``."""
    if not shots[0].name.startswith("mmt"):
        return _laid(shots, [{"label": shot.label} for shot in shots], ["label"])
    rows = [{"label_09": shot.label.rsplit(" ", 1)[0].replace("_", " "), "label_74": shot.label} for shot in shots]
    laid = _laid(shots, rows, ["label_09", "label_74"])
    laid.documents["classes_74.txt"] = "".join(f"{name}\n" for name in _FINE).encode()
    return laid


def sequence_csv(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` and ``images/``, a row a visit."""
    rows = [{"label": shot.label, "malignant_change": _malignant(shot)} for shot in shots]
    return _laid(shots, rows, ["label"] + (["malignant_change"] if shots[0].name.startswith("sddi2") else []))


def _malignant(shot: Shot) -> str:
    return "yes" if shot.label == "changed" and seed_of("malignant", shot.patient, shot.lesion) % 3 else "no"


def combinemel(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` with outcomes; thickness and time follow a drawn risk that the label follows too."""
    laid = _laid(shots, [_outcome(shot) for shot in shots], [*_CLINICAL, "metastasis", "rfi_months", "recurrence"])
    laid.tables["metadata.csv"].drop("lesion_id")
    return laid


_CLINICAL = ("stage", "breslow", "ulceration", "mitosis", "subtype")
_RISK = {"control": 0.15, "local": 0.6, "distant": 0.85}


def _outcome(shot: Shot) -> Row:
    rng = np.random.default_rng(seed_of("outcome", shot.patient))
    risk = float(np.clip(_RISK.get(shot.label, 0.5) + rng.normal(0, 0.2), 0, 1))
    breslow = float(np.exp(rng.normal(-0.6 + 2.2 * risk, 0.5)))
    ulcerated, recurs = rng.random() < 0.05 + 0.5 * risk, shot.label != "control"
    months = rng.exponential(14 + 70 * (1 - risk)) if recurs else rng.uniform(36, 125)
    stage = "I" if breslow <= 1.0 else "II" if breslow <= 4 or not recurs else "III"
    return {
        "stage": ("IV" if shot.label == "distant" and rng.random() < 0.1 else stage) + str(rng.choice(["A", "B"])),
        "breslow": f"{breslow:.2f}" if rng.random() > 0.05 else "unknown",
        "ulceration": "Yes" if ulcerated else "No",
        "mitosis": str(int(rng.poisson(0.4 + 4 * risk))),
        "subtype": str(rng.choice(["SSM", "NM", "LMM", "ALM"], p=[0.6, 0.2, 0.15, 0.05])),
        "metastasis": {"control": "None"}.get(shot.label, shot.label.title()),
        "rfi_months": f"{min(months, 130.0):.1f}",
        "recurrence": "yes" if recurs else "no",
    }


def nevus_csv(shots: list[Shot]) -> Laid:
    """Lay out ``metadata.csv`` with the physicians' label and, for a third of the people, the dermatologist's."""
    rows = []
    for shot in shots:
        rng = np.random.default_rng(seed_of("screen", shot.name))
        in_clinic = seed_of("clinic", shot.patient) % 3 == 0
        rows.append({"label": _on_screen(rng, shot.label), "label_in_clinic": shot.label if in_clinic else ""})
        if shot.label not in _SPELT:  # trouble: a label that nobody knows, wherever it is read
            rows[-1] = dict.fromkeys(("label", "label_in_clinic"), shot.label)
    return _laid(shots, rows, ["label", "label_in_clinic"])


_SPELT = {"nevus": ("nevus", "Naevus"), "other": ("non-nevus", "other")}


def _on_screen(rng: Rng, label: str) -> str:
    other = "other" if label == "nevus" else "nevus"
    seen = other if rng.random() < 0.08 else label
    return str(rng.choice(_SPELT.get(seen, (seen,))))


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {
    "task_csv": task_csv,
    "sequence_csv": sequence_csv,
    "combinemel": combinemel,
    "nevus_csv": nevus_csv,
}
"""Reader's name -> how a delivery in its layout is laid out."""
