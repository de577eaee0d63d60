"""Photos of the tasks beyond the demo's: labels, people and pictures from a short description of each twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from panderm.catalog import Modality
from panderm.twins.canvas import Rng, seed_of
from panderm.twins.picture import Form, Picture
from panderm.twins.shots import FACTOR, SITES, Scale, Shot, person, portions

LATER = 0.2
"""Images that a second delivery adds, in parts of the first."""

Looks = dict[str, float]
"""What is drawn -> how often."""


class Twin(NamedTuple):
    """What a task's twin holds.

    Attributes:
        kind: modality.
        counts: label -> images at demo scale.
        looks: label -> what is drawn for it.
        size: width and height of the pictures, pixels.
        name: native file name of image ``number`` of a label.
        form: stored format.
        views: images of each lesion in turn.
        lesions: lesions of each patient in turn; none where the layout knows no patients.
        looks_later: label -> what the lesion shows from its second view on, where it changes.
        least: fewest lesions a label at any scale.
        one_camera: how often a label is photographed by its own camera, as in atlases whose chapters have one author, 0..1;
            it tells apart what looks alike.
    """

    kind: Modality
    counts: dict[str, int]
    looks: Callable[[str], Looks]
    size: tuple[int, int]
    name: Callable[[int, str], str]
    form: Form = "JPEG"
    views: tuple[int, ...] = (1,)
    lesions: tuple[int, ...] = ()
    looks_later: Callable[[str], Looks | None] = lambda _: None
    least: int = 2
    one_camera: float = 0.0


def further_shots(key: str, twin: Twin, seed: int, scale: Scale, delivery: int = 1) -> list[Shot]:
    """Return the photos that delivery number ``delivery`` adds, trouble not counted, in mixed order."""
    rng = np.random.default_rng(seed_of(seed, "further", key, delivery))
    factor, least = (FACTOR[scale], twin.least) if delivery == 1 else (FACTOR[scale] * LATER, 1)
    lesions = [
        (label, views)
        for label, count in twin.counts.items()
        for views in portions(max(least, round(count * factor)), twin.views)
    ]
    patients = [n for n, several in enumerate(portions(len(lesions), twin.lesions or (1,))) for _ in range(several)]
    made: list[Shot] = []
    for number, place in enumerate(rng.permutation(len(lesions)).tolist()):
        label, views = lesions[place]
        case = _Case(key, seed, label, 10_000 * delivery + patients[number], 10_000 * delivery + number)
        made += _lesion(twin, case, views, rng)
    return made


class _Case(NamedTuple):
    """One lesion, by numbers."""

    key: str
    seed: int
    label: str
    patient: int
    number: int


def _lesion(twin: Twin, case: _Case, views: int, rng: Rng) -> list[Shot]:
    who = person(case.seed, f"{case.key}{case.patient}")
    shows, device = _pick(rng, twin.looks(case.label)), int(rng.integers(5))
    if twin.one_camera and rng.random() < twin.one_camera:
        device = seed_of("camera", case.label) % 5
    later = twin.looks_later(case.label)
    changed, since = _pick(rng, later) if later else shows, int(rng.integers(1, max(2, views)))
    subject = f"{case.seed}/further/{case.key}/{case.number}"
    base = Shot(
        name="",
        picture=Picture(twin.kind, shows, subject, "", who.tone, device, twin.size, twin.form),
        patient=f"P{case.patient}" if twin.lesions else "",
        lesion=f"L{case.number}" if twin.lesions else "",
        label=case.label,
        age=who.age if rng.random() > 0.06 else None,
        sex=who.sex if rng.random() > 0.05 else "",
        site=str(rng.choice(SITES)),
        more={"tone": str(who.tone + 1)},
    )
    return [
        replace(
            base,
            name=twin.name(case.number * 8 + view, case.label),
            picture=base.picture._replace(shows=changed if view >= since else shows, view=f"view{view}"),
            visit=str(view + 1),
        )
        for view in range(views)
    ]


def _pick(rng: Rng, looks: Looks) -> str:
    weights = np.array(list(looks.values()))
    return str(rng.choice(list(looks), p=weights / weights.sum()))
