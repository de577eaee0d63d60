"""Who is photographed, of what, how often: the contents of each twin before its native layout is laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np

from panderm.catalog import Modality
from panderm.twins.canvas import Rng, seed_of
from panderm.twins.eruption import ERUPTIONS
from panderm.twins.picture import Picture
from panderm.twins.tissue import TISSUES

Scale = Literal["tiny", "demo", "large"]
SCALES: tuple[Scale, ...] = get_args(Scale)
FACTOR: dict[Scale, float] = {"tiny": 0.25, "demo": 1.0, "large": 4.0}
"""Images of a scale, in parts of the demo's (about 600 of sources and 1,150 of tasks; measured: 31 s of CPU time)."""

SITES = ("back", "abdomen", "chest", "upper extremity", "lower extremity", "face", "neck", "foot")


@dataclass(frozen=True)
class Shot:
    """One photo of a delivery.

    Attributes:
        name: native file name without folder and extension.
        picture: what is drawn.
        patient: native id, empty where the layout has none.
        lesion: native id.
        visit: number or name of the visit.
        label: native label.
        age: years, None if not recorded.
        sex: ``female`` or ``male``.
        site: anatomical site.
        more: other native columns.
        how: what is done to the file's bytes, a key of ``trouble.SPOILERS``.
        extra: added as trouble: it keeps its own name and belongs to no pair.
    """

    name: str
    picture: Picture
    patient: str = ""
    lesion: str = ""
    visit: str = "1"
    label: str = ""
    age: int | None = None
    sex: str = ""
    site: str = ""
    more: dict[str, str] = field(default_factory=dict)
    how: str = ""
    extra: bool = False


class Person(NamedTuple):
    """A patient: the same facts wherever the id turns up."""

    tone: int
    age: int
    sex: str


def person(seed: int, patient: str) -> Person:
    """Return the person behind an id."""
    rng = np.random.default_rng(seed_of(seed, "person", patient))
    tone = int(rng.choice(6, p=[0.20, 0.36, 0.22, 0.11, 0.07, 0.04]))
    return Person(tone, int(np.clip(rng.normal(55, 16), 18, 90)), "female" if rng.random() < 0.5 else "male")


class Cohort(NamedTuple):
    """A source twin's people and pictures at demo scale.

    Attributes:
        patient: pattern of patient ids.
        patients: people at demo scale.
        lesions: lesions a person (or tiles a donor, or photos a condition).
        visits: photos a lesion, on different days.
        shows: what is photographed -> weight.
        size: smallest and largest short side, pixels; the long side is 4/3 of it for dermoscopy and clinical photos.
        form: stored format.
    """

    patient: str
    patients: int
    lesions: int
    visits: int
    shows: dict[str, float]
    size: tuple[int, int]
    form: Literal["JPEG", "PNG"] = "JPEG"


_MOLES = {"nv": 0.72, "bkl": 0.12, "mel": 0.06, "bcc": 0.06, "vasc": 0.04}
_SUSPICIOUS = {"nv": 0.4, "mel": 0.25, "bkl": 0.15, "bcc": 0.12, "akiec": 0.08}
_CLINIC = {"nv": 0.3, "bkl": 0.2, "bcc": 0.15, "akiec": 0.12, "mel": 0.1, "df": 0.06, "vasc": 0.07}
_TISSUE = dict.fromkeys(TISSUES, 1.0)
COHORTS: dict[str, Cohort] = {
    "mym": Cohort("MYM{:03d}", 6, 8, 1, _MOLES, (96, 144), "PNG"),
    "hop": Cohort("HOP{:03d}", 4, 6, 2, _MOLES, (96, 144), "PNG"),
    "mym_hop_derm": Cohort("", 12, 2, 2, _SUSPICIOUS, (168, 192)),
    "mmt": Cohort("P{:05d}", 18, 1, 1, _CLINIC, (150, 180)),
    "acemid_path": Cohort("AC{:02d}", 8, 6, 1, _TISSUE, (150, 150)),
    "nssi": Cohort("{:04d}", 6, 3, 3, {"nv": 0.9, "mel": 0.1}, (168, 168)),
    "edu1": Cohort("", 7, 7, 1, dict.fromkeys(list(ERUPTIONS)[:7], 1.0), (150, 180)),
    "edu2": Cohort("", 7, 7, 1, dict.fromkeys([*list(ERUPTIONS)[6:], "bkl", "vasc", "akiec"], 1.0), (150, 180)),
    "isic2024": Cohort("IP_{:07d}", 14, 4, 1, _MOLES, (96, 150)),
    "tcga_skcm": Cohort("TCGA-{:04d}", 8, 6, 1, {"melanoma": 4, "reticular dermis": 1, "inflammation": 1}, (160, 160)),
    "uah89k": Cohort("HD{:03d}", 8, 6, 1, _TISSUE, (150, 150)),
}
"""Source -> what its twin holds."""

INSTITUTIONS = ("University Hospital of Basel", "Memorial Sloan Kettering Cancer Center", "Hospital Clínic de Barcelona")
HELD_OUT = ("FNQH Cairns", "Alfred Hospital", "ACEMID MIA")
"""Institutions of ISIC 2024: the source's, and the three of the benchmark."""


def source_shots(key: str, seed: int, scale: Scale, delivery: int = 1) -> list[Shot]:
    """Return the photos that delivery number ``delivery`` of a source adds, trouble not counted."""
    cohort, rng = COHORTS[key], np.random.default_rng(seed_of(seed, key, delivery))
    people = max(2, round(cohort.patients * FACTOR[scale] * (1.0 if delivery == 1 else 0.4)))
    shots: list[Shot] = []
    for number in range(people):
        patient = _patient(key, cohort, 100 * (delivery - 1) + number + 1)
        for lesion in range(1, cohort.lesions + 1):
            shots += _lesion_shots(key, cohort, seed, patient, lesion=lesion, rng=rng)
    return shots


def _patient(key: str, cohort: Cohort, number: int) -> str:
    if key == "mym_hop_derm":  # suspicious lesions of people of both cohorts
        origin = COHORTS["mym" if number % 2 else "hop"]
        return origin.patient.format((number + 1) // 2)
    return cohort.patient.format(number) if cohort.patient else f"{number:02d}"


def _lesion_shots(key: str, cohort: Cohort, seed: int, patient: str, *, lesion: int, rng: Rng) -> Iterator[Shot]:
    """Yield the photos of one lesion (or one tile) over its visits."""
    who = person(seed, patient)
    names = list(cohort.shows)
    weights = np.array(list(cohort.shows.values()))
    shows = names[int(patient) % len(names)] if key.startswith("edu") else str(rng.choice(names, p=weights / weights.sum()))
    short, device = int(rng.integers(cohort.size[0], cohort.size[1] + 1)), seed_of(key, patient) % 5
    tone = int(rng.choice(6)) if key.startswith("edu") else who.tone
    site = str(rng.choice(SITES))
    for visit in range(1, cohort.visits + 1):
        for kind in _KINDS[key]:
            wide = short if kind in ("tbp", "dermatopathology") else short * 4 // 3
            subject = f"{seed}/{key}/{patient}/{lesion}"
            picture = Picture(kind, shows, subject, f"{kind}{visit}", tone, device, (wide, short), cohort.form)
            yield Shot(
                name=_source_name(key, patient, lesion, visit, kind),
                picture=picture,
                patient=patient,
                lesion=f"L{lesion:03d}",
                visit=str(visit),
                label=shows,
                age=who.age if rng.random() > 0.05 else None,
                sex=who.sex,
                site=site,
                more={"attribution": INSTITUTIONS[seed_of(patient) % 3]} if key == "isic2024" else {},
            )


def _source_name(key: str, patient: str, lesion: int, visit: int, kind: Modality) -> str:
    if key == "isic2024":
        return f"ISIC_{int(patient.removeprefix('IP_')) * 100 + lesion:07d}"
    return f"{key}-{patient}-{lesion:02d}-{visit}-{kind[0]}"


_KINDS: dict[str, tuple[Modality, ...]] = {
    **dict.fromkeys(("mym", "hop", "isic2024"), ("tbp",)),
    **dict.fromkeys(("mym_hop_derm", "nssi"), ("dermoscopic",)),
    "mmt": ("dermoscopic", "clinical"),
    **dict.fromkeys(("edu1", "edu2"), ("clinical",)),
    **dict.fromkeys(("acemid_path", "tcga_skcm", "uah89k"), ("dermatopathology",)),
}


class Task(NamedTuple):
    """A task twin at demo scale.

    Attributes:
        kind: modality.
        counts: label -> images; every class often enough that a test split of a fifth says something.
        shows: label -> kinds of lesion drawn for it.
        lesions: images of each lesion in turn.
        patients: lesions of each patient in turn.
        size: smallest and largest short side, pixels.
    """

    kind: Modality
    counts: dict[str, int]
    shows: dict[str, tuple[str, ...]]
    lesions: tuple[int, ...]
    patients: tuple[int, ...]
    size: tuple[int, int]


_HAM = {"nv": 210, "mel": 110, "bkl": 95, "bcc": 80, "akiec": 60, "vasc": 50, "df": 50}
TASKS: dict[str, Task] = {
    "ham10000": Task("dermoscopic", _HAM, {name: (name,) for name in _HAM}, (1, 1, 2, 1, 2), (1,), (168, 168)),
    "pad_ufes": Task(
        "clinical",
        {"BCC": 130, "ACK": 115, "NEV": 90, "SEK": 80, "SCC": 60, "MEL": 55},
        {"BCC": ("bcc",), "ACK": ("akiec",), "NEV": ("nv",), "SEK": ("bkl",), "SCC": ("scc",), "MEL": ("mel",)},
        (1, 1, 2),
        (1, 1, 2),
        (160, 160),
    ),
    "isic2024": Task(
        "tbp",
        {"0": 380, "1": 190},
        {"0": ("nv", "nv", "df", "nv", "bkl"), "1": ("mel", "scc", "mel", "bcc")},
        (1,),
        (3, 2, 4, 3),
        (96, 150),
    ),
}
"""Benchmark -> what its twin holds; the keys of ``counts`` are native labels."""


def task_shots(key: str, seed: int, scale: Scale, delivery: int = 1) -> list[Shot]:
    """Return the photos that delivery number ``delivery`` of a benchmark adds, trouble not counted."""
    task, rng = TASKS[key], np.random.default_rng(seed_of(seed, "task", key, delivery))
    factor = FACTOR[scale] * (1.0 if delivery == 1 else 0.2)
    lesions = [(label, n) for label, count in task.counts.items() for n in portions(round(count * factor), task.lesions)]
    order = rng.permutation(len(lesions)).tolist()
    shots: list[Shot] = []
    for person_number, several in enumerate(portions(len(lesions), task.patients)):
        for _ in range(several):
            label, images = lesions[order.pop()]
            case = _Case(key, seed, 10_000 * delivery + person_number, 10_000 * delivery + len(order), label, images)
            shots += _case_shots(task, case, rng)
    return shots


def portions(total: int, sizes: tuple[int, ...]) -> list[int]:
    """Return portions of the given sizes in turn that add up to ``total``."""
    sizes_used: list[int] = []
    while total > 0:
        sizes_used.append(min(total, sizes[len(sizes_used) % len(sizes)]))
        total -= sizes_used[-1]
    return sizes_used


class _Case(NamedTuple):
    """One lesion of a benchmark's patient, by numbers."""

    key: str
    seed: int
    patient: int
    number: int
    label: str
    images: int


def _case_shots(task: Task, case: _Case, rng: Rng) -> Iterator[Shot]:
    who = person(case.seed, f"{case.key}{case.patient}")
    shows = task.shows[case.label][int(rng.integers(len(task.shows[case.label])))]
    short, device, site = int(rng.integers(task.size[0], task.size[1] + 1)), int(rng.integers(5)), str(rng.choice(SITES))
    age = int(np.clip(who.age + (9 if shows in ("mel", "bcc", "scc", "akiec") else -4), 18, 95))
    size = (short * 4 // 3, short) if task.kind == "dermoscopic" else (short, short)
    form: Literal["JPEG", "PNG"] = "PNG" if case.key == "pad_ufes" else "JPEG"
    subject = f"{case.seed}/benchmarks/{case.key}/{case.number}"
    for view in range(case.images):
        yield Shot(
            name=_task_name(case, view),
            picture=Picture(task.kind, shows, subject, f"view{view}", who.tone, device, size, form),
            patient={"ham10000": "", "pad_ufes": f"PAT_{case.patient}", "isic2024": f"IP_{7_000_000 + case.patient}"}[case.key],
            lesion=f"HAM_{case.number:07d}" if case.key == "ham10000" else str(case.number),
            label=case.label,
            age=age if case.key == "pad_ufes" else 5 * round(age / 5),
            sex=who.sex if rng.random() > 0.04 else "",
            site=site,
            more={"tone": str(who.tone + 1), "attribution": HELD_OUT[case.patient % 3]},
        )


def _task_name(case: _Case, view: int) -> str:
    if case.key == "pad_ufes":
        return f"PAT_{case.patient}_{case.number}_{view + 1}"
    return f"ISIC_{(24 if case.key == 'ham10000' else 71) * 100_000 + case.number * 4 + view:07d}"
