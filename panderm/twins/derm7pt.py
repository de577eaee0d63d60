"""Twin of Derm7pt: a dermoscopic and a clinical photo of every case, the seven points, and the official split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from panderm.readers.derm7pt import CRITERIA, PHOTOS, TABLE
from panderm.twins.canvas import seed_of
from panderm.twins.further import Looks, Twin
from panderm.twins.layouts import Laid, Row, Table
from panderm.twins.picture import Kind
from panderm.twins.shots import Shot


def _looks(label: str) -> Looks:
    return {"mel": 0.85, "nv": 0.15} if label == "melanoma" else {"nv": 0.65, "bkl": 0.15, "vasc": 0.1, "mel": 0.1}


def _name(number: int, _: str) -> str:
    return f"Nel{number}"


_COUNTS = {"other": 60, "melanoma": 45}
TWINS: dict[str, Twin] = {
    "derm7pt_d": Twin("dermoscopic", _COUNTS, _looks, (120, 80), _name, least=10),
    "derm7pt_c": Twin("clinical", _COUNTS, _looks, (120, 80), _name, least=10),
}
"""Task -> what its twin holds; both are one delivery but for the planted trouble."""

_WORDS = {
    "melanoma": ("melanoma (less than 0.76 mm)", "melanoma (in situ)", "Melanoma metastasis", "melanoma (0.76 to 1.5 mm)"),
    "other": ("clark nevus", "reed or spitz nevus", "seborrheic keratosis", "dermatofibroma", "basal cell carcinoma"),
}
_POINTS: dict[str, tuple[str, ...]] = {
    "pigment_network": ("absent", "typical", "atypical"),
    "streaks": ("absent", "regular", "irregular"),
    "pigmentation": ("absent", "diffuse regular", "localized irregular"),
    "regression_structures": ("absent", "blue areas", "combinations"),
    "dots_and_globules": ("absent", "regular", "irregular"),
    "blue_whitish_veil": ("absent", "present"),
    "vascular_structures": ("absent", "arborizing", "linear irregular"),
}
_COLUMNS = ["case_num", "diagnosis", "seven_point_score", *CRITERIA, "level_of_diagnostic_difficulty", "elevation"]
_COLUMNS += ["location", "sex", "management", *reversed(PHOTOS.values()), "case_id", "notes"]
_OTHER_KIND: dict[Kind, Kind] = {"dermoscopic": "clinical", "clinical": "dermoscopic"}


def derm7pt(shots: list[Shot]) -> Laid:
    """Lay out ``meta/meta.csv`` with the files of indexes, and ``images/``; trouble's photos are cases of one photo."""
    laid, rows = Laid({}), []
    for number, shot in enumerate(shots):
        row = _case(shot, number)
        for kind in (shot.picture.kind,) if shot.extra else (shot.picture.kind, _OTHER_KIND[shot.picture.kind]):
            initial = "D" if kind == "dermoscopic" else "C"
            path = f"{'NEL' if number % 2 else 'FAL'}/{initial}{shot.name}.jpg"
            row[PHOTOS[kind]] = path if number % 7 else path.upper()
            own = kind == shot.picture.kind
            picture = shot.picture._replace(kind=kind)
            laid.photos[f"images/{path}"] = replace(shot, picture=picture, name=shot.name if own else f"{shot.name} {kind}")
        rows.append(row)
    table = Table(_COLUMNS, rows, PHOTOS[shots[0].picture.kind])
    laid.tables[TABLE] = table
    for place, name in enumerate(("train", "valid", "test")):
        chosen = [number for number in range(len(shots)) if (0, 0, 0, 1, 2)[number % 5] == place]
        laid.documents[f"meta/{name}_indexes.csv"] = "".join(f"{line}\n" for line in ("indexes", *chosen)).encode()
    return laid


def _case(shot: Shot, number: int) -> Row:
    rng = np.random.default_rng(seed_of("seven points", shot.picture.subject))
    bad = 0.65 if shot.label == "melanoma" else 0.25
    points = {
        name: words[-1] if rng.random() < bad else words[int(rng.integers(len(words) - 1))] for name, words in _POINTS.items()
    }
    words = _WORDS.get(shot.label, (shot.label,))
    return points | {
        "case_num": str(number + 1),
        "case_id": shot.name,
        "diagnosis": words[seed_of("diagnosis", shot.picture.subject) % len(words)],
        "seven_point_score": str(sum(points[name] == _POINTS[name][-1] for name in _POINTS)),
        "level_of_diagnostic_difficulty": ("low", "medium", "high")[number % 3],
        "elevation": ("flat", "palpable", "nodular")[number % 3],
        "location": shot.site,
        "sex": shot.sex,
        "management": "excision" if shot.label == "melanoma" else "no further examination",
    }


LAYOUTS: dict[str, Callable[[list[Shot]], Laid]] = {"derm7pt": derm7pt}
"""Reader's name -> how a delivery in its layout is laid out."""
